"""Threads, forks, environment variables and imports: pyconv in the process it runs in."""

import ast
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import pyconv
from pyconv.backend import current_backend

INFO = pyconv.build_info()
TESTS = Path(__file__).parent
needs_openmp = pytest.mark.skipif(not INFO["openmp"], reason="this build has no OpenMP: 1 thread")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to a CPU"
)


def python(code, *arguments, timeout=60, **environment):
    """Run `code` in a fresh interpreter; a variable set to None is unset there."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYCONV_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=inherited | environment,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def printed(code, *arguments, **environment):
    """What `code` prints, as a Python value."""
    run = python(code, *arguments, **environment)
    assert run.returncode == 0, run.stderr
    return ast.literal_eval(run.stdout)


# Backends


def test_backends_nest_and_come_back():
    outside = current_backend()
    with pyconv.use_backend("reference"):
        assert current_backend() == "reference"
        again = pyconv.use_backend("native")
        with again, pyconv.use_backend("reference"), again:
            assert current_backend() == "native"
        assert current_backend() == "reference"
    assert current_backend() == outside


def test_backend_comes_back_after_an_exception():
    outside = current_backend()
    x = np.zeros((1, 1, 2, 2))
    with pytest.raises(ValueError, match="has only 2×2"), pyconv.use_backend("reference"):
        pyconv.im2col(x, 3, 3)
    assert current_backend() == outside


def test_backend_of_one_thread_is_not_that_of_another():
    switched, done = threading.Event(), threading.Event()

    def other():
        with pyconv.use_backend("reference"):
            switched.set()
            assert done.wait(10)
            return current_backend()

    with ThreadPoolExecutor(1) as pool:
        inside = pool.submit(other)
        assert switched.wait(10)
        here = current_backend()
        done.set()
        assert (inside.result(), here) == ("reference", "native")


def test_backend_decides_which_function_runs(monkeypatch):
    """The native function must not be called on the reference backend, nor the other way round."""
    monkeypatch.setattr(pyconv._core, "affine", lambda *arguments: "native")
    x, W = np.ones((2, 3)), np.ones((3, 4))
    assert pyconv.affine(x, W) == "native"
    with pyconv.use_backend("reference"):
        assert pyconv.affine(x, W).tolist() == [[3] * 4] * 2


@pytest.mark.parametrize("name", ["numpy", "", "Native", None, 1])
def test_an_unknown_backend_is_an_error_that_names_the_known_ones(name):
    with pytest.raises(ValueError, match=f"one of 'native', 'reference'.*, not {name!r}"):
        pyconv.use_backend(name)


CURRENT = "from pyconv.backend import current_backend; print(repr(current_backend()))"


def test_environment_sets_the_default_backend():
    assert printed(CURRENT) == printed(CURRENT, PYCONV_BACKEND="") == "native"
    assert printed(CURRENT, PYCONV_BACKEND="reference") == "reference"


def test_a_wrong_backend_in_the_environment_fails_the_import():
    run = python("import pyconv", PYCONV_BACKEND="torch")
    assert run.returncode != 0
    assert "PYCONV_BACKEND must be one of 'native', 'reference'" in run.stderr
    assert "not 'torch'" in run.stderr


# Instruction sets

KERNEL_TESTS = """
import sys, pytest, pyconv
assert pyconv.build_info()["isa"] == sys.argv[1]
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("isa", INFO["isas"])
def test_kernels_are_right_on_every_instruction_set_of_this_cpu(isa):
    run = python(
        KERNEL_TESTS, isa, str(TESTS / "test_kernels.py"), "-q", "-k", "not large",
        "-p", "no:cacheprovider", "--hypothesis-profile=short", PYCONV_ISA=isa,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


@pytest.mark.parametrize("wanted", ["sse9", "AVX2", "baseline "])
def test_an_unknown_instruction_set_fails_the_import_with_the_known_ones(wanted):
    run = python("import pyconv", PYCONV_ISA=wanted)
    assert run.returncode != 0
    assert f"ImportError: PYCONV_ISA='{wanted}' is not an instruction set" in run.stderr
    assert f"one of {', '.join(INFO['isas'])}, or unset it" in run.stderr


# Threads

LARGE = """
import os, sys
import numpy as np, pyconv
x, W = np.ones((4, 8, 40, 40), np.float32), np.ones((16, 8, 3, 3), np.float32)
def right():
    return bool((pyconv.conv2d(x, W) == 72).all())
"""


@pytest.fixture
def two_threads():
    before = pyconv.get_num_threads()
    pyconv.set_num_threads(2)
    yield
    pyconv.set_num_threads(before)


@needs_openmp
@needs_fork
def test_a_forked_child_computes_on_threads_after_its_parent_did():
    fork = """
pyconv.set_num_threads(2)
assert right()
for generation in range(2):  # a child, and a child of that child
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not right())
    assert right()
"""
    run = python(LARGE + fork, timeout=20)
    assert run.returncode == 0, run.stderr


@needs_openmp
@needs_fork
def test_a_pool_of_forked_workers_computes_while_the_parent_does():
    fork = """
import multiprocessing
pyconv.set_num_threads(2)
assert right()
def work(_):
    return right()
with multiprocessing.get_context("fork").Pool(3) as pool:
    waiting = pool.map_async(work, range(6))
    assert right()
    assert waiting.get(15) == [True] * 6
assert right()
"""
    run = python(LARGE + fork, timeout=20)
    assert run.returncode == 0, run.stderr


@needs_openmp
def test_omp_num_threads_is_honoured():
    code = "import pyconv; print(pyconv.get_num_threads())"
    assert printed(code, OMP_NUM_THREADS="1") == 1
    assert printed(code, OMP_NUM_THREADS="3") == 3


@needs_openmp
@needs_affinity
def test_a_process_bound_to_one_cpu_computes_on_one_thread():
    bound = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    code = f"import os; {bound}; import pyconv; print(pyconv.get_num_threads())"
    assert printed(code) == 1


@needs_openmp
def test_kernels_start_the_threads_they_are_given_and_no_more():
    count = """
pyconv.set_num_threads(int(sys.argv[1]))
before = len(os.listdir("/proc/self/task"))
assert right()
print(len(os.listdir("/proc/self/task")) - before)
"""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not list the threads of a process")
    assert [printed(LARGE + count, str(n)) for n in (1, 2, 3)] == [0, 1, 2]


def convolution(seed):
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=(3, 4, 20, 21)), rng.normal(size=(5, 4, 3, 3))
    y = pyconv.conv2d(x, W)
    return [y, pyconv.conv2d_backward_data(y, W, x.shape),
            *pyconv.conv2d_backward_weight(x, y, W.shape), *pyconv.max_pool2d(y, 2, 2, 2)]  # fmt: skip


def bits(results):
    return [result.tobytes() for result in results]


@needs_openmp
def test_one_thread_and_two_agree_and_each_repeats_its_bits(two_threads):
    on_two = convolution(0)
    assert all(bits(convolution(0)) == bits(on_two) for _ in range(5))
    pyconv.set_num_threads(1)
    on_one = convolution(0)
    assert all(bits(convolution(0)) == bits(on_one) for _ in range(5))
    for one, two in zip(on_one, on_two, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12 * np.abs(one).max())


def test_many_python_threads_compute_at_once(two_threads):
    expected = [bits(convolution(seed)) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: bits(convolution(seed % 8)), range(64)))
    assert found == expected * 8


def test_a_kernel_lets_other_python_threads_run(two_threads):
    """The interpreter's lock is released: a counter moves while one call computes."""
    pyconv.set_num_threads(1)
    x, W = np.ones((1, 64, 96, 96)), np.ones((64, 64, 3, 3))
    ticks, finished = 0, threading.Event()

    def count():
        nonlocal ticks
        while not finished.wait(0.001):
            ticks += 1

    counter = threading.Thread(target=count)
    old, interval = sys.getswitchinterval(), 60  # a thread that holds the lock keeps it
    counter.start()
    try:
        sys.setswitchinterval(interval)
        start = time.perf_counter()
        while time.perf_counter() - start < 0.3:
            before = ticks
            pyconv.conv2d(x, W)
    finally:
        sys.setswitchinterval(old)
        finished.set()
        counter.join()
    assert ticks > before
