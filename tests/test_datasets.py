"""Data sets: what the loaders give, what they say when they cannot, and what a download leaves."""

import _thread
import gzip
import hashlib
import io
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyconv import datasets
from pyconv.datasets import download, load_digits, load_folder, load_mnist, read_idx

CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
FILES = download.FILES
IMAGES = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4)


def idx(array):
    big = array.astype(array.dtype.newbyteorder(">"))
    head = bytes([0, 0, CODES[array.dtype.name], array.ndim])
    return head + struct.pack(f">{array.ndim}I", *array.shape) + big.tobytes()


def four(train=IMAGES, train_t=6, test=IMAGES[:2], test_t=2):
    """Four small made-up files, packed, in the order of FILES."""
    arrays = (train, np.arange(train_t, dtype="u1"), test, np.arange(test_t, dtype="u1"))
    return [gzip.compress(idx(array), mtime=0) for array in arrays]


def put(folder, files=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in zip(FILES, files or four(), strict=True):
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(autouse=True)
def away_from_home(monkeypatch, tmp_path):
    """No test reads or fills the real cache, or goes through a proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("PYCONV_DATA", raising=False)


# ---- the digits that come with the package


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
        for y, x_ in np.ndindex(28, 28):
            fy, fx = (min(max((i + 0.5) * 8 / 28 - 0.5, 0), 7) for i in (y, x_))
            iy, ix = min(int(fy), 6), min(int(fx), 6)
            (a, b), (c, d) = image[iy : iy + 2, ix : ix + 2] / 16
            top, bottom = a + (b - a) * (fx - ix), c + (d - c) * (fx - ix)
            assert big[y, x_] == pytest.approx(top + (bottom - top) * (fy - iy), abs=1e-6)


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


# ---- the real MNIST and Fashion-MNIST, where they are at hand

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


# ---- where files are looked for, and what they must hold


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


# ---- the reader of IDX files


@settings(deadline=None)
@given(
    array=hnp.arrays(st.sampled_from(sorted(CODES)), hnp.array_shapes(max_dims=5, max_side=4)),
    packed=st.booleans(),
)
def test_what_was_written_is_read(array, packed, fuzzed):
    fuzzed.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    back = read_idx(fuzzed)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    assert back.flags.writeable
    assert back.flags.c_contiguous


GOOD = idx(IMAGES)
ZIPPED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", r"is empty; an IDX file begins with 4 bytes"),
        (gzip.compress(b""), r"is empty"),
        (b"\x00\x00\x08", r"not an IDX file: it begins with the bytes 00 00 08, where"),
        (b"\x89PNG....", r"not an IDX file: it begins with the bytes 89 50 4e 47, where 00 00"),
        (b"\0\0\x0a\1" + GOOD[4:], r"type code 0x0A; known are 0x08 \(uint8\), .*0x0E \(float64"),
        (b"\0\0\x08\0", r"says it has 0 dimensions; 1 to 32 can be read"),
        (b"\0\0\x08\x21" + bytes(200), r"says it has 33 dimensions"),
        (GOOD[:10], r"ends within its header: .* 3 dimensions take 12 bytes, 6 follow"),
        (b"\0\0\x08\1" + bytes(4), r"uint8 of shape \(0,\), 0 bytes; every size must be at least"),
        (GOOD[:-1], r"uint8 of shape \(6, 4, 4\), 96 bytes, but only 95 bytes follow"),
        (GOOD + b"!", r"uint8 of shape \(6, 4, 4\), 96 bytes, but more bytes follow"),
        (gzip.compress(GOOD[:-1]), r"but only 95 bytes follow"),
        (gzip.compress(GOOD + b"!"), r"but more bytes follow"),
        (b"\0\0\x0e\2" + b"\x7f\xff\xff\xff" * 2, r"float64 of .*; no more than 2,147,483,648 b"),
        (b"\0\0\x08\1\x80\0\0\1", r"2,147,483,649 bytes; no more than"),
        (b"\0\0\x08\1\x80\0\0\0", r"2,147,483,648 bytes, but only 0 bytes follow"),
        (ZIPPED[:2], r"is cut short: its gzip data stop before"),
        (ZIPPED[:-9], r"is cut short"),
        (ZIPPED[:-1], r"is cut short"),
        (ZIPPED[:10] + b"\xff" + ZIPPED[11:], r"is a damaged gzip file \(.*\)\. Fetch"),
        (ZIPPED[:-8] + bytes(8), r"is a damaged gzip file \(CRC"),
        (ZIPPED + b"tail", r"is a damaged gzip file"),
    ],
)
def test_every_wrong_file_is_named_with_what_is_wrong(data, said, tmp_path):
    (tmp_path / "odd.idx").write_bytes(data)
    with pytest.raises(ValueError, match=rf"odd\.idx.*{said}"):
        read_idx(tmp_path / "odd.idx")


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.gz; an IDX file is wanted"):
        read_idx(tmp_path / "gone.gz")
    with pytest.raises(IsADirectoryError, match="is a folder; an IDX file is wanted"):
        read_idx(tmp_path)


@pytest.mark.parametrize(
    "data",
    [gzip.compress(GOOD + bytes(40_000_000), 1), b"\0\0\x08\1\x70\0\0\0" + bytes(10)],
    ids=["unpacks to far more", "promises far more"],
)
def test_memory_follows_the_file_and_not_its_promises(data, tmp_path):
    (tmp_path / "bomb").write_bytes(data)
    with pytest.raises(ValueError, match="follow"):  # whatever is imported late, is by now
        read_idx(tmp_path / "bomb")
    tracemalloc.start()
    with pytest.raises(ValueError, match="follow"):
        read_idx(tmp_path / "bomb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "fuzzed.bin"


def reads_or_explains(path, data):
    path.write_bytes(data)
    try:
        assert read_idx(path).size > 0
        return
    except ValueError as error:
        caught = error
    assert type(caught) is ValueError
    assert str(path) in str(caught)
    assert str(caught).endswith(".")


@settings(deadline=None, max_examples=300)
@given(
    start=st.sampled_from([b"", b"\0\0", b"\0\0\x08\1\0\0\0", b"\x1f\x8b\x08", ZIPPED[:10]]),
    rest=st.binary(max_size=200),
    packed=st.booleans(),
)
def test_any_bytes_are_read_or_explained(start, rest, packed, fuzzed):
    data = start + rest
    reads_or_explains(fuzzed, gzip.compress(data) if packed else data)


@settings(deadline=None, max_examples=400)
@given(
    data=st.sampled_from([GOOD, ZIPPED, idx(np.arange(9.0)), gzip.compress(idx(np.eye(3)))]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 300),
    tail=st.binary(max_size=8),
)
def test_any_damage_is_survived(data, changes, cut, tail, fuzzed):
    damaged = bytearray(data)
    for where, value in changes:
        damaged[where % len(damaged)] = value
    reads_or_explains(fuzzed, bytes(damaged[: cut or None]) + tail)


# ---- downloads, from servers on this machine


class Server(ThreadingTCPServer):  # http.server's own asks for the host's name, which may be slow
    """Answers every path with its page: bytes, or a function that is given the handler."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.asked = {}, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def mirror(self, name, files):
        self.pages |= {f"/{name}/{file}": page for file, page in zip(FILES, files, strict=True)}
        return f"{self.url}{name}/"

    def handle_error(self, request, client_address):
        """A client that hangs up is what half of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
        elif callable(page):
            page(self)
        else:
            self.begin(len(page))
            self.wfile.write(page)

    def begin(self, size=None):
        self.send_response(200)
        if size is not None:
            self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as it:
        thread = threading.Thread(target=it.serve_forever, args=(0.01,))
        thread.start()
        yield it
        it.shutdown()
        thread.join()


def made_up(*mirrors, files=None, digest_of="gz", largest=100_000):
    files = files or four()
    bare = [gzip.decompress(data) for data in files] if digest_of == "raw" else files
    digests = tuple(hashlib.sha256(data).hexdigest() for data in bare)
    return download.Source("Made-up", "made-up", mirrors, digests, digest_of, largest)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fails(source, folder, timeout=5.0):
    """The sentence of a download that fails and leaves nothing."""
    with pytest.raises(ConnectionError) as caught:
        download.fetch(source, folder, timeout=timeout)
    assert names(folder) == []
    return str(caught.value)


def test_a_good_mirror(server, tmp_path, capsys):
    download.fetch(made_up(server.mirror("good", four())), tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == sorted(FILES)
    assert load_folder(tmp_path / "a" / "b")[0][0].shape == (6, 1, 4, 4)
    assert capsys.readouterr() == ("", "")  # not a terminal: no bar


def test_a_raw_digest_does_not_care_how_the_file_was_packed(server, tmp_path):
    repacked = [gzip.compress(gzip.decompress(data), 1, mtime=7) for data in four()]
    mirror = server.mirror("good", repacked)
    assert "SHA-256" in fails(made_up(mirror), tmp_path)
    download.fetch(made_up(mirror, digest_of="raw"), tmp_path)
    assert (tmp_path / FILES[0]).read_bytes() == repacked[0]


@pytest.mark.parametrize("digest_of", ["raw", "gz"])
@pytest.mark.parametrize(
    "wrong", [gzip.compress(b"wrong"), ZIPPED[:-3], ZIPPED[:-8] + bytes(8), b"<html>", b""]
)
def test_a_wrong_checksum_means_the_next_mirror(wrong, digest_of, server, tmp_path):
    bad, good = server.mirror("bad", [wrong] * 4), server.mirror("good", four())
    download.fetch(made_up(bad, good, digest_of=digest_of), tmp_path)
    assert [(tmp_path / name).read_bytes() for name in FILES] == four()
    # The mirror that failed once is not asked again.
    assert server.asked == [f"/bad/{FILES[0]}", *(f"/good/{name}" for name in FILES)]


def test_all_mirrors_failing_is_one_sentence_with_every_reason(server, tmp_path):
    def silent(handler):
        time.sleep(1.0)

    with socket.socket() as taken:  # bound and not listening: refuses
        taken.bind(("127.0.0.1", 0))
        mirrors = (
            server.mirror("bad", [b"bad"] * 4),
            f"{server.url}none/",
            f"http://127.0.0.1:{taken.getsockname()[1]}/",
            server.mirror("silent", [silent] * 4),
            server.mirror("rude", [lambda handler: handler.wfile.write(b"what?\r\n\r\n")] * 4),
        )
        text = fails(made_up(*mirrors), tmp_path / "cache", timeout=0.5)
    reasons = ("SHA-256", r"HTTP 404 Not Found\)", "[Rr]efused", "timed out", "what")
    for mirror, reason in zip(mirrors, reasons, strict=True):
        assert re.search(rf"{mirror} failed for {FILES[0]} \([^()]*{reason}", text)
    assert text.startswith("Made-up could not be downloaded: ")
    assert all(name in text for name in FILES)
    assert f"into the folder {tmp_path / 'cache'} by hand" in text
    assert "set PYCONV_DATA to the folder that holds made-up/." in text


def endless(handler):
    handler.begin()
    while True:
        handler.wfile.write(bytes(10_000))


def boastful(handler):
    handler.begin(2**40)
    handler.wfile.write(bytes(10))


def breaks_off(handler):
    handler.begin(1000)
    handler.wfile.write(bytes(500))


@pytest.mark.parametrize(
    ("page", "digest_of", "said"),
    [
        (endless, "gz", "it sends more than 100,000 bytes"),
        (boastful, "gz", "it sends more than 100,000 bytes"),
        (breaks_off, "gz", "broke off after 500 of 1,000 bytes"),
        (gzip.compress(bytes(10**7)), "raw", "what it sent unpacks to over 100,000 bytes"),
    ],
)
def test_bad_streams_are_given_up(page, digest_of, said, server, tmp_path):
    bad = server.mirror("bad", [page] * 4)
    assert said in fails(made_up(bad, digest_of=digest_of), tmp_path)
    download.fetch(made_up(bad, server.mirror("good", four()), digest_of=digest_of), tmp_path)
    assert names(tmp_path) == sorted(FILES)


def test_an_interrupt_leaves_only_whole_files(server, tmp_path):
    seen = []

    def interrupted(handler):
        handler.begin(200_000)
        handler.wfile.write(bytes(100_000))
        while not (parts := names(tmp_path)[:1]) or not parts[0].endswith(".part"):
            time.sleep(0.01)
        seen.extend(names(tmp_path))
        _thread.interrupt_main()
        handler.wfile.write(bytes(100_000))

    pages = [four()[0], interrupted, *four()[2:]]
    source = made_up(server.mirror("slow", pages), largest=10**6)
    with pytest.raises(KeyboardInterrupt):
        download.fetch(source, tmp_path)
    assert len(seen) == 2  # the first file, and the part that is gone now
    assert names(tmp_path) == [FILES[0]]


def test_a_folder_that_cannot_be_written_is_no_fault_of_a_mirror(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Made-up could not be stored: .* set PYCONV_DATA") as caught:
        download.fetch(made_up(server.mirror("good", four())), tmp_path / "file" / "cache")
    assert not isinstance(caught.value, ConnectionError)
    assert server.asked == []


def test_a_terminal_sees_a_bar(server, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    download.fetch(made_up(server.mirror("good", four())), tmp_path)
    assert all(name in sys.stderr.getvalue() for name in FILES)


def test_a_loader_downloads_once_and_only_what_is_missing(server, tmp_path, monkeypatch):
    source = made_up(server.mirror("good", four()), digest_of="raw")
    monkeypatch.setattr(datasets, "MNIST", source)
    monkeypatch.setenv("PYCONV_DATA", str(tmp_path / "nothing here"))
    assert load_mnist()[0][0].shape == (6, 1, 4, 4)
    cache = tmp_path / "cache" / "pyconv" / "made-up"
    assert names(cache) == sorted(FILES)
    load_mnist()
    assert len(server.asked) == 4
    (cache / FILES[3]).unlink()
    load_mnist()
    assert server.asked[4:] == [f"/good/{FILES[3]}"]


def test_the_cache_is_below_home_unless_a_whole_path_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    put(tmp_path / "home" / ".cache" / "pyconv" / "mnist")
    for named in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", named)
        assert len(load_mnist()[0][0]) == 6


def test_the_import_is_light():
    """Also a check that the folder needs nothing of the rest of the package."""
    code = f"""
import importlib.util, sys, numpy.typing, pathlib
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("alone", {datasets.__file__!r})
sys.modules["alone"] = alone = importlib.util.module_from_spec(spec)
spec.loader.exec_module(alone)
alone.load_digits
heavy = {{"rich", "urllib.request", "http.client", "ssl", "gzip", "hashlib", "pickle"}}
print(*sorted(heavy & (set(sys.modules) - before)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"
