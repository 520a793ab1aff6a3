"""What the compiled module was built with and how many threads it uses."""

from typing import Any

from . import _core
from .window import whole

# More than any kernel has use for: a slip of the hand must not ask for a million.
MOST_THREADS = 1024


def build_info() -> dict[str, Any]:
    """How the compiled part was built, and what it uses here.

    Returns
    -------
    dict
        "version", "compiler" and "flags" of the build; the instruction set in use ("isa") and those
        that this CPU could use ("isas"); how many "threads".

    Notes
    -----
    The widest instruction set is chosen when pyconv is imported; the environment variable
    PYCONV_ISA forces another of "isas".
    """
    return _core.build_info()


def get_num_threads() -> int:
    """Number of threads a kernel may use.

    At first this is OMP_NUM_THREADS where that is set; otherwise the CPUs that this process may run
    on, or its control group's quota if that is less.
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Let kernels use up to `n` threads, in the whole process. Short work runs on one all the same.

    Raises
    ------
    TypeError, ValueError
        When `n` is no whole number from 1 to 1024.

    Notes
    -----
    The process has one pool of threads. Of several Python threads that call kernels at the same
    time, one has the pool; each of the others computes alone rather than wait. Where the system
    grants fewer threads, or OMP_THREAD_LIMIT allows fewer, those that there are do the work.
    """
    n = whole("the number of threads", n, at_least=1)
    if n > MOST_THREADS:
        raise ValueError(f"the number of threads must be at most {MOST_THREADS}, not {n}")
    _core.set_num_threads(n)
