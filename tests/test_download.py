"""Downloads, from servers on this machine: what they leave behind and what they say."""

import gzip
import hashlib
import io
import re
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

import pytest
from idx_files import FILES, ZIPPED, four

from pyconv import datasets
from pyconv.datasets import download, load_folder, load_mnist

pytestmark = pytest.mark.usefixtures("away_from_home")


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
    "wrong", [gzip.compress(b"wrong", mtime=0), ZIPPED[:-3], ZIPPED[:-8] + bytes(8), b"<html>", b""]
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
        (gzip.compress(bytes(10**7), mtime=0), "raw", "what it sent unpacks to over 100,000 bytes"),
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
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        handler.wfile.write(bytes(100_000))

    pages = [four()[0], interrupted, *four()[2:]]
    source = made_up(server.mirror("slow", pages), largest=10**6)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            download.fetch(source, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
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
