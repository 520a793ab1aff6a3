"""The reader of IDX files survives any bytes."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import CODES, GOOD, ZIPPED, idx

from pyconv.datasets import read_idx


@settings(deadline=None)
@given(
    array=hnp.arrays(st.sampled_from(sorted(CODES)), hnp.array_shapes(max_dims=5, max_side=4)),
    packed=st.booleans(),
)
def test_what_was_written_is_read(array, packed, fuzzed):
    fuzzed.write_bytes(gzip.compress(idx(array), mtime=0) if packed else idx(array))
    back = read_idx(fuzzed)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    assert back.flags.writeable
    assert back.flags.c_contiguous


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", r"is empty; an IDX file begins with 4 bytes"),
        (gzip.compress(b"", mtime=0), r"is empty"),
        (b"\x00\x00\x08", r"not an IDX file: it begins with the bytes 00 00 08, where"),
        (b"\x89PNG....", r"not an IDX file: it begins with the bytes 89 50 4e 47, where 00 00"),
        (b"\0\0\x0a\1" + GOOD[4:], r"type code 0x0A; known are 0x08 \(uint8\), .*0x0E \(float64"),
        (b"\0\0\x08\0", r"says it has 0 dimensions; 1 to 32 can be read"),
        (b"\0\0\x08\x21" + bytes(200), r"says it has 33 dimensions"),
        (GOOD[:10], r"ends within its header: .* 3 dimensions take 12 bytes, 6 follow"),
        (b"\0\0\x08\1" + bytes(4), r"uint8 of shape \(0,\), 0 bytes; every size must be at least"),
        (GOOD[:-1], r"uint8 of shape \(6, 4, 4\), 96 bytes, but only 95 bytes follow"),
        (GOOD + b"!", r"uint8 of shape \(6, 4, 4\), 96 bytes, but more bytes follow"),
        (gzip.compress(GOOD[:-1], mtime=0), r"but only 95 bytes follow"),
        (gzip.compress(GOOD + b"!", mtime=0), r"but more bytes follow"),
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
    [gzip.compress(GOOD + bytes(40_000_000), 1, mtime=0), b"\0\0\x08\1\x70\0\0\0" + bytes(10)],
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
    data=st.sampled_from(
        [GOOD, ZIPPED, idx(np.arange(9.0)), gzip.compress(idx(np.eye(3)), mtime=0)]
    ),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 300),
    tail=st.binary(max_size=8),
)
def test_any_damage_is_survived(data, changes, cut, tail, fuzzed):
    damaged = bytearray(data)
    for where, value in changes:
        damaged[where % len(damaged)] = value
    reads_or_explains(fuzzed, bytes(damaged[: cut or None]) + tail)
