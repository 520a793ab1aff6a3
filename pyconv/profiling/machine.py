"""What this machine can do at most, measured: no data sheet knows the clock it runs at today."""

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import _core
from .suite import Task

# A sample is short, so that among many some are not interrupted by whatever else the machine does.
STEPS = 100_000
SECONDS = 0.4
CACHE_IF_UNKNOWN = 64 << 20


class Peaks(NamedTuple):
    """The most that the threads in use reach together.

    Attributes
    ----------
    operations : float
        Of float32 a second, a multiply-add being two.
    bytes : float
        A second, read and written, in a copy from memory to memory.
    """

    operations: float
    bytes: float


def at_peak(task: Task, peaks: Peaks) -> tuple[float, float]:
    """Seconds that a task would take if nothing but computing, or moving its bytes, took time."""
    # a register holds half as many doubles
    operations = peaks.operations * 4 / task.item_bytes
    return task.cost.operations / operations, task.bytes / peaks.bytes


def is_bound_by_memory(task: Task, peaks: Peaks) -> bool:
    """Whether moving a task's bytes takes longer than computing, both at the peak."""
    computing, moving = at_peak(task, peaks)
    return moving > computing


def measure_peaks() -> Peaks:
    """Measure both with the number of threads that pyconv uses in this process."""
    operations = _core.peak_multiply_adds(STEPS)
    computing = _shortest(lambda: _core.peak_multiply_adds(STEPS))

    # Twice the last cache: little of one copy is still there when the next begins.
    source = np.ones(2 * last_cache() // 4, np.float32)
    target = np.zeros_like(source)
    copying = _shortest(lambda: _core.peak_copy(source, target))
    return Peaks(operations / computing, 2 * source.nbytes / copying)


def _shortest(call: Callable[[], object]) -> float:
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def last_cache() -> int:
    """Bytes of the largest cache, a guess where the system does not tell."""
    sizes = [0]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        size = file.read_text().strip()  # "32768K"
        if size.endswith("K") and size[:-1].isdigit():
            sizes.append(int(size[:-1]) << 10)
    return max(sizes) or CACHE_IF_UNKNOWN


def cpu_name() -> str:
    """The CPU's name for people."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
