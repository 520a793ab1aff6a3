"""The loaders of data sets: what they give, where they look, and what they say when they cannot."""

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from idx_files import FILES, IMAGES, four, put

from pyconv import datasets
from pyconv.datasets import download, load_digits, load_folder, load_mnist, read_idx

pytestmark = pytest.mark.usefixtures("away_from_home")


def test_digits_have_the_promised_form():
    for (x, t), n in zip(load_digits(), (1438, 359), strict=True):
        assert x.shape == (n, 1, 28, 28)
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert (x.min(), x.max()) == (0, 1)
        assert t.shape == (n,)
        assert t.dtype == np.int64


def test_digits_are_all_there_once_and_no_test_image_is_trained_on():
    (x, t), (x_test, t_test) = load_digits()
    assert len({image.tobytes() for image in np.concatenate([x, x_test])}) == 1797
    assert np.bincount(np.concatenate([t, t_test])).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip
    assert np.bincount(t_test).tolist() == [27, 21, 34, 52, 34, 28, 31, 43, 47, 42]


def test_digits_are_split_by_every_fifth_and_enlarged_bilinearly():
    folder = Path(datasets.__file__).parent / "digits"
    small = read_idx(folder / "images-idx3-ubyte.gz")
    assert small.shape == (1797, 8, 8)
    (x, t), (x_test, t_test) = load_digits()
    labels = read_idx(folder / "labels-idx1-ubyte.gz")
    assert t_test.tolist() == labels[4::5].tolist()
    assert t.tolist() == np.delete(labels, np.s_[4::5]).tolist()
    for big, image in ((x[0, 0], small[0]), (x[4, 0], small[5]), (x_test[1, 0], small[9])):
        assert np.count_nonzero(big) == np.count_nonzero(big[4:24, 4:24]), "as MNIST is framed"
        for y, x_ in np.ndindex(20, 20):
            fy, fx = (min(max((i + 0.5) * 8 / 20 - 0.5, 0), 7) for i in (y, x_))
            iy, ix = min(int(fy), 6), min(int(fx), 6)
            (a, b), (c, d) = image[iy : iy + 2, ix : ix + 2] / 16
            top, bottom = a + (b - a) * (fx - ix), c + (d - c) * (fx - ix)
            assert big[4 + y, 4 + x_] == pytest.approx(top + (bottom - top) * (fy - iy), abs=1e-6)


def test_digits_are_the_same_on_every_call_and_belong_to_the_caller():
    (x, t), _ = load_digits()
    first = x.copy(), t.copy()
    x[:], t[:] = 9, 9
    (x, t), _ = load_digits()
    np.testing.assert_array_equal(x, first[0])
    np.testing.assert_array_equal(t, first[1])


def test_digits_name_their_authors_and_licence():
    text = (Path(datasets.__file__).parent / "digits" / "ATTRIBUTION.txt").read_text()
    for owed in ("E. Alpaydin", "C. Kaynak", "10.24432/C50P49", "licenses/by/4.0", "Changes"):
        assert owed in text


REAL = os.environ.get("PYCONV_DATA", "")
COUNTS = {
    "mnist": ([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
              [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    "fashion": ([6000] * 10, [1000] * 10),
}  # fmt: skip


@pytest.mark.parametrize("source", [download.MNIST, download.FASHION_MNIST], ids=lambda s: s.folder)
def test_real_files(source, monkeypatch):
    folder = Path(REAL) / source.folder
    if not REAL or not folder.is_dir():
        pytest.skip(f"PYCONV_DATA names no folder that holds {source.folder}/.")
    for name, digest in zip(FILES, source.sha256, strict=True):
        data = (folder / name).read_bytes()
        data = gzip.decompress(data) if source.digest_of == "raw" else data
        assert hashlib.sha256(data).hexdigest() == digest
    monkeypatch.setenv("PYCONV_DATA", REAL)
    load = {"mnist": datasets.load_mnist, "fashion": datasets.load_fashion_mnist}[source.folder]
    for (x, t), n, counts in zip(load(), (60000, 10000), COUNTS[source.folder], strict=True):
        assert (x.shape, x.dtype, t.dtype) == ((n, 1, 28, 28), np.float32, np.int64)
        assert (x.min(), x.max()) == (0, 1)
        assert np.bincount(t).tolist() == counts


def test_the_folder_itself_or_the_one_above_and_unpacked_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in (put(tmp_path / "mnist"), tmp_path, "~/mnist"):
        (x, t), (x_test, _) = load_mnist(folder)
        np.testing.assert_array_equal(x, IMAGES[:, None] / np.float32(255))
        assert (x.dtype, x.flags.c_contiguous, x.flags.writeable) == (np.float32, True, True)
        assert (t.tolist(), t.dtype) == ([0, 1, 2, 3, 4, 5], np.int64)
        assert x_test.shape == (2, 1, 4, 4)
    for path in (tmp_path / "mnist").iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(load_folder(str(tmp_path / "mnist"))[0][0], x)


def test_pyconv_data_comes_before_the_cache(tmp_path, monkeypatch):
    put(tmp_path / "cache" / "pyconv" / "fashion", four(train_t=6, test=IMAGES[:1], test_t=1))
    assert len(datasets.load_fashion_mnist()[1][0]) == 1
    put(tmp_path / "shared" / "fashion")
    monkeypatch.setenv("PYCONV_DATA", str(tmp_path / "shared"))
    assert len(datasets.load_fashion_mnist()[1][0]) == 2


@pytest.mark.parametrize("load", [load_mnist, load_folder])
def test_a_named_folder_without_the_files_is_an_error_and_never_a_download(
    load, tmp_path, monkeypatch
):
    monkeypatch.setattr(datasets, "fetch", lambda *a: pytest.fail("tried to download"))
    (put(tmp_path / "half") / FILES[2]).unlink()
    with pytest.raises(FileNotFoundError, match=r"half lacks t10k-images-idx3-ubyte\.gz; .* needs"):
        load(tmp_path / "half")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere with train-images-.*t10k"):
        load(tmp_path / "nowhere")
    if load is load_mnist:
        (put(tmp_path / "above" / "mnist") / FILES[3]).unlink()
        with pytest.raises(FileNotFoundError, match=r"above.mnist lacks t10k-labels-idx1-ubyte"):
            load(tmp_path / "above")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (four(train_t=5), r"train-images.*holds 6 images \(shape \(6, 4, 4\)\), .*train-labels.*"
                          r"5 labels \(shape \(5,\)\); every image needs one"),
        (four(train=IMAGES[0]), r"train-images.*uint8 of shape \(4, 4\); .* shape \(N, H, W\)"),
        (four(test=IMAGES.astype("f4")), r"t10k-images.*float32 of shape .*must be uint8"),
        (four()[::-1], r"train-images.*uint8 of shape \(2,\); images"),
        (four()[:1] * 4, r"train-labels.*uint8 of shape \(6, 4, 4\); labels must be uint8"),
        (four(test=IMAGES[:2, :3]), r"images of 4x4 pixels, but .*t10k-images.* of 3x4; both"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_together(files, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        load_folder(put(tmp_path / "own", files))


def test_the_cache_is_below_home_unless_a_whole_path_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    put(tmp_path / "home" / ".cache" / "pyconv" / "mnist")
    for named in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", named)
        assert len(load_mnist()[0][0]) == 6


def test_the_import_is_light():
    code = """
import sys, numpy.typing, pathlib
before = set(sys.modules)
import pyconv.datasets
heavy = {"rich", "urllib.request", "http.client", "ssl", "gzip", "hashlib", "pickle"}
print(*sorted(heavy & (set(sys.modules) - before)))
"""
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout == "\n"
