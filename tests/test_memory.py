"""The memory of large results: kept when their arrays are gone, and handed out again."""

import importlib
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from interpreter import printed

import pyconv

MB = 2**20
NUMPY_2 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"
multiarray = importlib.import_module(f"numpy.{'_core' if NUMPY_2 else 'core'}.multiarray")
LISTS_MEMORY = Path("/proc/self/statm").exists()


def ramp(mb, factor=1):
    """0, 1, 2, ... times a factor, as a convolution's result of so many megabytes."""
    x = np.arange(int(mb * MB) // 4, dtype=np.float32).reshape(1, 1, -1, 1024)
    return pyconv.conv2d(x, np.full((1, 1, 1, 1), factor, np.float32))


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_of_a_large_result_serves_the_next_of_about_its_size():
    y = ramp(8)
    first = address(y)
    assert address(ramp(8)) != first
    del y
    y = ramp(8)
    assert address(y) == first
    del y
    assert address(ramp(13)) != first
    assert address(ramp(7)) == first
    y = ramp(3)
    assert address(y) != first


def test_only_large_results_lie_in_kept_memory():
    assert multiarray.get_handler_name(ramp(4)) == "pyconv"
    assert multiarray.get_handler_name(pyconv.layers.Relu().forward(ramp(4))) == "pyconv"
    assert multiarray.get_handler_name(ramp(1 / 2)) == "pyconv"
    y, argmax = pyconv.max_pool2d(ramp(4), 2, 2, 2)
    assert multiarray.get_handler_name(y) == multiarray.get_handler_name(argmax) == "pyconv"
    argmax = pyconv.conv2d_block(ramp(4), np.ones((1, 1, 1, 1), np.float32), pool=(2, 2))[1]
    assert multiarray.get_handler_name(argmax) == "pyconv"
    assert multiarray.get_handler_name(ramp(1 / 16)) == "default_allocator"
    assert multiarray.get_handler_name(np.empty(4 * MB)) == "default_allocator"


def test_a_large_result_owns_its_memory_and_can_be_resized():
    y = ramp(4)
    assert y.flags.owndata
    assert y.flags.aligned
    y.resize(3 * MB, refcheck=False)  # of float32
    np.testing.assert_array_equal(y[:MB], np.arange(MB))
    assert not y[MB:].any()
    y.resize(1000, refcheck=False)
    np.testing.assert_array_equal(y, np.arange(1000))


@pytest.mark.parametrize("size", [2**17, 2**21])
def test_results_of_every_size_have_room(size):
    """About the sizes from which on memory is kept, and comes in huge pages."""
    W = np.full((1, 1, 1, 1), 2, np.float32)
    for bytes_ in range(size - 4200, size + 4200, 60):
        x = np.arange(bytes_ // 4, dtype=np.float32).reshape(1, 1, 1, -1)
        results = [pyconv.conv2d(x, W) for _ in range(2)]
        assert all(np.array_equal(y, 2 * x) for y in results)


def test_a_large_result_is_counted_as_any_array_is():
    tracemalloc.start()
    try:
        y = ramp(8)
        assert y.nbytes <= tracemalloc.get_traced_memory()[0] <= y.nbytes + MB // 16
        del y
        assert tracemalloc.get_traced_memory()[0] < MB // 16
    finally:
        tracemalloc.stop()


def test_threads_that_make_large_results_at_once_do_not_share_any():
    def right(n):
        results = [ramp(2 + n % 3, factor) for factor in range(1, 4)]
        return all(
            np.array_equal(y.ravel(), np.arange(y.size, dtype=np.float32) * factor)
            for factor, y in enumerate(results, 1)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(40)))


def test_a_forked_process_has_kept_memory_of_its_own():
    before = ramp(4)
    ramp(4)
    child = os.fork()
    if child == 0:
        os._exit(not np.array_equal(ramp(4, 2), 2 * before))
    y = ramp(4)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(y, before)


BEGIN = """
import resource, sys
import numpy as np, pyconv
page, W = resource.getpagesize(), np.ones((1, 1, 1, 1), np.float32)
def memory(kind):
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[kind]) * page
def result(mb):
    return pyconv.conv2d(np.ones((1, 1, mb, 2**18), np.float32), W)
result(2)
"""
HELD = """
before = memory(1)
results = [result(16) for _ in range(24)]
assert memory(1) - before >= 24 * 2**24
del results
print((memory(1) - before) / 2**20)
"""
TIGHT = """
before = memory(1)
results = [result(2) for _ in range(100)]
print((memory(1) - before) / 2**20)
"""
REFUSED = """
pyconv.set_num_threads(1)
x = np.ones((1, 1, 200, 2**18), np.float32)
pyconv.conv2d(x[:, :, :160], W)  # is kept
limit = memory(0) + 100 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(pyconv.conv2d(x, W).shape)
"""


@pytest.mark.skipif(not LISTS_MEMORY, reason="memory is not listed here")
def test_at_most_a_quarter_of_a_gigabyte_is_kept():
    assert 200 <= printed(BEGIN + HELD) <= 270


@pytest.mark.skipif(not LISTS_MEMORY, reason="memory is not listed here")
def test_large_results_take_no_more_than_their_size():
    assert printed(BEGIN + TIGHT) <= 215


@pytest.mark.skipif(not LISTS_MEMORY, reason="memory is not listed here")
def test_kept_memory_is_given_back_before_a_result_is_refused():
    assert printed(BEGIN + REFUSED, OPENBLAS_NUM_THREADS="1") == (1, 1, 200, 2**18)
