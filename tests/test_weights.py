"""Weight files: what is saved comes back bit for bit, and nothing else is ever taken for it."""

import functools
import io
import json
import operator
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import layers, weights
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet

INPUT = (2, 8, 9)


def simple(seed=0, dtype=np.float32, **conv):
    conv = {"filter_num": 4, "filter_size": 3} | conv
    return SimpleConvNet(INPUT, conv, hidden_size=5, rng=seed, dtype=dtype)


def deep(seed=0, dtype=np.float32):
    convs = {f"conv_param_{i}": {"filter_num": 3} for i in range(1, 7)}
    return DeepConvNet(INPUT, **convs, hidden_size=5, rng=seed, dtype=dtype)


def every_layer(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)

    def array(*shape):
        return rng.standard_normal(shape).astype(dtype)

    window = {"stride": (2, 1), "pad": ((1, 0), (2, 1)), "dilation": (1, 2)}
    built = Sequential(
        [
            layers.Convolution(array(4, 1, 3, 2), 0, **window, groups=2),
            layers.BatchNormalization(array(4), array(4), momentum=0.5),
            layers.Relu(),
            layers.Convolution(array(6, 4, 2, 2), array(6), stride=2, pad="same"),
            layers.Pooling(2, 1, dilation=(1, 3), pad=(1, 0), ceil_mode=np.True_),
            layers.Sigmoid(),
            layers.Pooling(1, 2, pad="same", mode="average", count_include_pad=True),
            layers.BatchNormalization(array(90), array(90), per="activation"),
            layers.Flatten(),
            layers.Dropout(0.25, rng=seed),
            layers.Affine(array(90, 7)),
            layers.Affine(array(7, 3), array(3)),
        ],
        INPUT,
        name="every layer",
    )
    built.predict(array(5, *INPUT), train_flg=True)  # moves the running means
    return built


def without_input_dim(seed=0, dtype=np.float32):
    return Sequential([layers.Affine(np.random.default_rng(seed).random((144, 3)).astype(dtype))])


NETWORKS = [simple, deep, every_layer, without_input_dim]


def state(network):
    arrays = {**network.params, **network.buffers}
    return network.describe(), {k: (a.dtype, a.tobytes()) for k, a in arrays.items()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """File of a small network."""
    path = tmp_path_factory.mktemp("saved") / "w.npz"
    simple().save_params(path)
    return path


def assert_refused(path, says=None):
    """No way of reading takes it, and a network that was to take it stays as it is."""
    target = simple(3)
    before = state(target)
    for read in (Sequential.load, target.load_params):
        with pytest.raises(ValueError, match=says) as error:
            read(path)
        assert str(path) in str(error.value)
    assert state(target) == before


# What is saved comes back


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", NETWORKS)
def test_a_network_comes_back_bit_for_bit(tmp_path, build, dtype):
    path, network, other = tmp_path / "w.npz", build(1, dtype), build(2, dtype)
    x = np.random.default_rng(0).standard_normal((3, *INPUT)).astype(dtype)
    network.save_params(path)
    loaded = Sequential.load(path)
    assert state(loaded) == state(network) != state(other)
    other.load_params(path)
    assert state(other) == state(network)
    for same in (loaded, other):
        assert same.predict(x).tobytes() == network.predict(x).tobytes()


@pytest.mark.parametrize("build", NETWORKS)
def test_plain_numpy_reads_a_file_without_pickle(tmp_path, build):
    network = build()
    network.save_params(tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert set(arrays) == {"description", *network.params, *network.buffers}
    assert (arrays["W1"] == network.params["W1"]).all()
    assert json.loads(str(arrays["description"]))["layers"][0]["type"] in layers.__all__


def test_a_file_of_the_other_byte_order_loads_as_native(saved, tmp_path):
    with np.load(saved) as file:
        swapped = {k: a.astype(a.dtype.newbyteorder(">")) for k, a in file.items()}
    np.savez(tmp_path / "big.npz", **swapped)
    assert state(Sequential.load(tmp_path / "big.npz")) == state(simple())


# Writing: all or nothing


@pytest.mark.parametrize("before", [b"an older file", None])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_crash_while_writing_leaves_the_old_file_alone(monkeypatch, tmp_path, before, error):
    path = tmp_path / "w.npz"
    if before:
        path.write_bytes(before)

    def half_way(file, **arrays):
        file.write(b"half a file")
        raise error

    monkeypatch.setattr(np, "savez", half_way)
    with pytest.raises(type(error)):
        simple().save_params(path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([before] if before else [])


@pytest.mark.parametrize("name", ["w", "w.npy", "w.npz.bak", ".npz", ""])
def test_a_name_without_npz_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"does not end in \.npz"):
        simple().save_params(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_python_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"\['training.a'\] hold Python objects"):
        weights.write(tmp_path / "w.npz", simple().describe(), {}, {}, {"a": np.array([object()])})
    with pytest.raises(TypeError, match=r"\{1\} cannot be written as JSON"):
        weights.write(tmp_path / "w.npz", simple().describe(), {}, {"a": {1}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_of_a_file_follows_the_umask(tmp_path, umask, mode):
    inherited = os.umask(umask)
    try:
        simple().save_params(tmp_path / "w.npz")
    finally:
        os.umask(inherited)
    assert (tmp_path / "w.npz").stat().st_mode & 0o777 == mode


# Other networks, damaged and foreign files


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda seed: simple(seed, stride=2),
            "holds .*another network: layer Conv1 .*stride=.2, 2",
        ),
        (
            lambda seed: simple(seed, filter_num=5),
            r"holds .*another network: layer Conv1 .*\(5, 2, 3, 3\)",
        ),
        (lambda seed: simple(seed, dtype=np.float64), "holds float32 .* network is float64"),
        (
            lambda seed: Sequential(list(simple(seed).layers.values())[:3]),
            "holds .*6 layers, this one 3",
        ),
        (every_layer, "holds .*another network: layer Conv1"),
    ],
)
def test_another_networks_weights_are_refused(saved, build, says):
    network = build(3)
    before = state(network)
    with pytest.raises(ValueError, match=f"w.npz {says}"):
        network.load_params(saved)
    assert state(network) == before


def test_a_truncated_file_is_refused(saved, tmp_path):
    content = saved.read_bytes()
    for length in {*range(0, len(content), 61), *range(len(content) - 25, len(content))}:
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(ValueError, match="is not a readable weight file"):
            Sequential.load(tmp_path / "cut.npz")


@settings(max_examples=200)
@given(st.booleans(), st.integers(0, 2**16), st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_does_not_matter(saved, in_directory, position, flip):
    content = bytearray(saved.read_bytes())
    start = content.index(b"PK\x01\x02") if in_directory else 0  # the archive's list of members
    content[start + position % (len(content) - start)] ^= flip
    path = saved.with_name("flipped.npz")
    path.write_bytes(content)
    try:
        loaded = Sequential.load(path)
    except ValueError:
        return
    assert state(loaded) == state(simple())


def npy(array, **header):
    """An .npy file; its header can lie."""
    file = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(array) | header
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue() + array.tobytes()


HEAD = {"format": weights.FORMAT, "version": weights.VERSION}
DESCRIPTION = HEAD | simple().describe()
ARRAYS = {f"{name}.npy": npy(array) for name, array in simple().params.items()}


def archive(path, members=None, compression=zipfile.ZIP_STORED, repeat=0, description=DESCRIPTION):
    """A weight file with some members other than they should be."""
    text = description if isinstance(description, str) else json.dumps(description)
    written = {"description.npy": npy(np.array(text)), **ARRAYS, **(members or {})}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in written.items():
            file.writestr(name, content)
        file.filelist.extend(repeat * [file.getinfo("W1.npy")])
    return path


def test_the_archives_of_the_following_tests_are_read(tmp_path):
    assert state(Sequential.load(archive(tmp_path / "w.npz"))) == state(simple())


FOUR = np.zeros(4, np.float32)
LIES = [
    ({"W1.npy": npy(FOUR, shape=(2**58,))}, "Unable to allocate"),
    ({"W1.npy": npy(FOUR, shape=(2**28,))}, "is not a readable weight file"),
    ({"W1.npy": npy(FOUR, shape=(-4,))}, "is not a readable weight file"),
    ({"W1.npy": npy(FOUR, shape="four")}, "shape is not valid"),
    ({"W1.npy": npy(FOUR, descr="|V0", shape=(2**50,))}, "W has dtype .V"),
    ({"W1.npy": npy(FOUR, descr="|O")}, "Object arrays cannot be loaded"),
    ({"W1.npy": npy(FOUR.astype(int))}, "W has dtype int64"),
    ({"W1.npy": b"no array"}, "W1 is no array"),
    ({"description": b"{}"}, "description is no array"),  # no .npy: NumPy hands out the bytes
    ({"description.npy": npy(FOUR)}, "its description is not JSON"),
    ({"description.npy": npy(FOUR, descr="<U4", shape=())}, "its description is not JSON"),
    ({"description.npy": npy(FOUR - 1, descr="<U4", shape=())}, "is damaged"),  # no such letters
]


@pytest.mark.parametrize(("members", "says"), LIES)
def test_lying_members_are_refused(tmp_path, members, says):
    assert_refused(archive(tmp_path / "w.npz", members), says)


def test_compressed_and_overlapping_members_are_refused(tmp_path):
    """Stored members that do not overlap are never larger than the file."""
    assert_refused(archive(tmp_path / "a.npz", compression=zipfile.ZIP_DEFLATED), "is compressed")
    assert_refused(archive(tmp_path / "b.npz", repeat=50), "larger than the file")


def test_foreign_files_are_refused(tmp_path):
    foreign = {"text": b"W1 = 3", "empty": b"", "array": npy(FOUR), "zip": b"PK\3\4" * 9}
    for name, content in foreign.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        assert_refused(tmp_path / f"{name}.npz", "is not a readable weight file")
    (tmp_path / "folder.npz").mkdir()
    assert_refused(tmp_path / "folder.npz", "is not a readable weight file")
    np.savez(tmp_path / "other.npz", W1=FOUR, b1=FOUR)
    assert_refused(tmp_path / "other.npz", r"was not written by pyconv: it holds \['W1', 'b1'\]")
    with pytest.raises(FileNotFoundError, match=r"no weight file .*none\.npz"):
        Sequential.load(tmp_path / "none.npz")


# Descriptions


def changed(layer=0, **changes):
    """The description with changes, or with a layer's changes."""
    copied = json.loads(json.dumps(DESCRIPTION))
    place = copied if changes.keys() & copied.keys() else copied["layers"][layer]
    place.update(changes)
    return copied


CONV = DESCRIPTION["layers"][0]["settings"]
HOSTILE = [
    ("{", "its description is not JSON"),
    ("[]", r"its description is \[\]"),
    ("[" * 10**5, "its description is not JSON"),
    ('{"version":' * 900 + "1" + "}" * 900, "is damaged|says it is"),
    ('{"version": ' + "1" * 5000 + "}", "its description is not JSON"),
    ({}, "says it is None version None"),
    (changed(format="other"), "says it is 'other' version 1"),
    (changed(version=2), "version 2; this pyconv reads 'pyconv network' version 1"),
    (changed(version="[" * 2000), "version"),
    ({k: v for k, v in DESCRIPTION.items() if k != "layers"}, "KeyError: 'layers'"),
    (changed(layers=[]), "at least one layer"),
    (changed(layers={"a": 1}), "does not describe a network that works"),
    (changed(type="Layer"), "no layer called 'Layer'"),
    (changed(type="SoftmaxWithLoss"), "does not describe a network that works"),
    (changed(type="../os"), "no layer called"),
    (changed(type=["Affine"]), "no layer called"),
    (changed(settings={}), "differs from what pyconv writes"),
    (changed(settings=CONV | {"stride": 10**30}), "stride must be at most"),
    (changed(settings=CONV | {"stride": 0}), "stride must be at least 1"),
    (changed(settings=CONV | {"need_dx": True}), "differs from what pyconv writes"),
    (changed(settings=CONV | {"self": 1}), "multiple values"),
    (changed(settings=CONV | {"W": 1}), "multiple values"),
    (changed(arrays={}), "missing 1 required positional argument: 'W'"),
    (changed(arrays={"W": [1], "b": [4]}), "differs from what pyconv writes"),
    (changed(layer=1, arrays={"W": [1]}), "does not describe a network that works"),
    (changed(input_dim=[2, 8]), "takes images"),
    (changed(input_dim="abc"), "input_dim must be a whole number"),
    (changed(input_dim=[2, 80, 90]), "a sample of shape .* W of shape .* takes"),
    (changed(name={"a": 1}), "differs from what pyconv writes"),
]


@pytest.mark.parametrize(("description", "says"), HOSTILE)
def test_a_description_of_no_network_is_refused(tmp_path, description, says):
    assert_refused(archive(tmp_path / "w.npz", description=description), says)


def places(value, path=()):
    """Paths to everything within a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in pairs:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))


LEAVES = st.none() | st.booleans() | st.integers(-2, 3) | st.integers() | st.floats() | st.text()
JSON = st.recursive(LEAVES, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=5)


@settings(max_examples=200)
@given(st.sampled_from(list(places(DESCRIPTION))), JSON)
def test_a_mutated_description_is_refused_or_that_of_another_network(saved, place, value):
    mutated = json.loads(json.dumps(DESCRIPTION))
    *parents, key = place
    functools.reduce(operator.getitem, parents, mutated)[key] = value
    path = archive(saved.with_name("mutated.npz"), description=mutated)
    try:
        loaded = Sequential.load(path)
    except ValueError:
        return
    assert HEAD | loaded.describe() == mutated
