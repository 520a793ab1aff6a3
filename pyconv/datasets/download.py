"""Fetch the four files of a data set from the first mirror that gives the right bytes.

A file appears under its own name only after its SHA-256 was found right; whatever happens before
that, an interrupt included, leaves nothing behind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..files import replacing
from .idx import unpacked

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_CHUNK = 2**16
_Show = Callable[[str, int, "int | None"], None]  # file name, bytes so far, bytes in all


@dataclass(frozen=True)
class Source:
    """What must be known about a data set to fetch it.

    Parameters
    ----------
    title : str
        Its name for people.
    folder : str
        The name of the folder that holds its files, within PYCONV_DATA and within the cache.
    mirrors : tuple of str
        Addresses that a file name is appended to, tried in this order.
    sha256 : tuple of str
        The digest of every file, in the order of `FILES`.
    digest_of : {"raw", "gz"}
        Whether the digests are of the unpacked bytes (then it does not matter how a mirror packed
        them) or of the .gz files.
    largest : int
        Bytes; a mirror that sends more, or a file that unpacks to more, is given up.
    """

    title: str
    folder: str
    mirrors: tuple[str, ...]
    sha256: tuple[str, str, str, str]
    digest_of: Literal["raw", "gz"]
    largest: int = 64 * 2**20


MNIST = Source(
    title="MNIST",
    folder="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    sha256=(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    digest_of="raw",
)

FASHION_MNIST = Source(
    title="Fashion-MNIST",
    folder="fashion",
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    sha256=(
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    digest_of="gz",
)


class _MirrorError(Exception):
    """One mirror could not give one file; the text says why."""


def fetch(
    source: Source, folder: Path, names: Sequence[str] = FILES, timeout: float = 30.0
) -> None:
    """Download files of a data set into a folder, which is made if need be.

    Parameters
    ----------
    source : Source
        The data set.
    folder : Path
        Where the files go.
    names : sequence of str
        Which of `FILES` to fetch.
    timeout : float
        Seconds without a byte after which a mirror is given up.

    Raises
    ------
    ConnectionError
        No mirror gave one of the files; the text names every mirror with its reason.
    OSError
        The folder cannot be written to.
    """
    mirrors = list(source.mirrors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _progress() as show:
            for name, digest in zip(FILES, source.sha256, strict=True):
                if name in names:
                    good = _fetch_from_any(source, mirrors, folder / name, digest, timeout, show)
                    # Do not wait for a dead mirror again with every file.
                    mirrors = [good, *(mirror for mirror in mirrors if mirror != good)]
    except (_MirrorError, OSError) as error:
        missing = ", ".join(name for name in names if not (folder / name).is_file())
        by_hand = (
            f"Put {missing} into the folder {folder} by hand, or into a folder "
            f"{source.folder}/ and set PYCONV_DATA to the folder that holds {source.folder}/."
        )
        if isinstance(error, _MirrorError):
            raise ConnectionError(
                f"{source.title} could not be downloaded: {error}. {by_hand}"
            ) from None
        raise OSError(f"{source.title} could not be stored: {error}. {by_hand}") from error


def _fetch_from_any(
    source: Source, mirrors: list[str], target: Path, digest: str, timeout: float, show: _Show
) -> str:
    """Fetch one file; the mirror that gave it is returned."""
    reasons = []
    for mirror in mirrors:
        try:
            _fetch_one(source, mirror + target.name, target, digest, timeout, show)
        except _MirrorError as error:
            reasons.append(f"{mirror} failed for {target.name} ({error})")
        else:
            return mirror
    raise _MirrorError("; ".join(reasons))


def _fetch_one(
    source: Source, url: str, target: Path, digest: str, timeout: float, show: _Show
) -> None:
    with replacing(target) as part:
        with part.open("xb") as file, closing(_receive(url, source.largest, timeout)) as chunks:
            done = 0
            for chunk, total in chunks:
                file.write(chunk)
                done += len(chunk)
                show(target.name, done, total)
        found = _sha256(part, source)
        if found != digest:
            raise _MirrorError(f"the SHA-256 of what it sent is {found}, not {digest}")


def _receive(
    url: str, largest: int, timeout: float
) -> Generator[tuple[bytes, int | None], None, None]:
    """The bytes at `url`, piece by piece, each with the size of the whole where that is known.

    Only what goes wrong on the network becomes a _MirrorError; a full disk is no mirror's fault.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    too_much = f"it sends more than {largest:,} bytes"
    try:
        request = Request(url, headers={"User-Agent": "pyconv"})
        with urlopen(request, timeout=timeout) as response:
            total = response.length
            if total is not None and total > largest:
                raise _MirrorError(too_much)
            done = 0
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                if done > largest:
                    raise _MirrorError(too_much)
                yield chunk, total
            if total is not None and done < total:
                raise _MirrorError(f"the connection broke off after {done:,} of {total:,} bytes")
    except HTTPError as error:
        error.close()
        raise _MirrorError(f"HTTP {error.code} {error.reason}".strip()) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise _MirrorError(reason) from error


def _sha256(path: Path, source: Source) -> str:
    import gzip
    import hashlib
    import zlib

    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            stream = unpacked(file) if source.digest_of == "raw" else file
            while chunk := stream.read(_CHUNK):
                size += len(chunk)
                if size > source.largest:
                    raise _MirrorError(f"what it sent unpacks to over {source.largest:,} bytes")
                digest.update(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _MirrorError(f"what it sent is a damaged gzip file: {error}") from error
    return digest.hexdigest()


@contextmanager
def _progress() -> Iterator[_Show]:
    """A bar for every file on standard error, or nothing where nobody would see it move."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda name, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=Console(stderr=True)) as bar:
        rows = {name: bar.add_task(name, total=None, visible=False) for name in FILES}

        def show(name: str, done: int, total: int | None) -> None:
            bar.update(rows[name], completed=done, total=total, visible=True)

        yield show
