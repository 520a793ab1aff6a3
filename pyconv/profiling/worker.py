"""The process that computes and times one side of the comparison; `race` starts and asks it.

It reads one request a line from standard input, and answers it with one line: both are JSON.
"""

import json
import os
import sys
import time
import tracemalloc
from typing import Any

import numpy as np

from ..checks import Array
from .calls import Call
from .machine import last_cache, measure_peaks
from .ours import Reference
from .rivals import SIDES
from .suite import Task, shape_of

# Shorter calls are timed several at once: reading the clock takes time, and it has a resolution.
SAMPLE_SECONDS = max(50e-6, 1000 * time.get_clock_info("perf_counter").resolution)
TURN_SECONDS = 0.05
MOST_SAMPLES = 200
WARM_SECONDS = 0.005  # of calls before the first sample, two at least
COLD_SAMPLES = 10
SLOW_SECONDS = 0.1  # a call this long is warm by its own beginning
TOLERANCE = 1e-3  # of the largest number: float32 sums in another order differ by about 1e-5


class Worker:
    """One side, and the calls it prepared last.

    Parameters
    ----------
    side : object
        Of `rivals.SIDES`.
    """

    def __init__(self, side: Any) -> None:
        self.side = side
        self.calls: dict[str, Call] = {}

    def answer(self, request: dict[str, Any]) -> Any:
        match request:
            case {"do": "hello"}:
                return self.side.version
            case {"do": "peaks"}:
                return measure_peaks()
            case {"do": "validate", "task": task}:
                return validate(self.side, Task(*task).for_validation())
            case {"do": "prepare", "task": task}:
                return self.prepare(Task(*task))
            case {"do": "time", "variant": variant}:
                return time_call(self.calls[variant])
            case {"do": "time cold", "variant": variant}:
                return time_cold(self.calls[variant])
            case {"do": "memory", "variant": variant}:
                return memory_of(self.calls[variant])
        raise ValueError(f"a worker does not know {request!r}")

    def prepare(self, task: Task) -> list[str]:
        """Make the inputs of a task.

        Returns
        -------
        list of str
            The ways in which this side computes the task, none where it cannot.
        """
        self.calls = self.side.calls(shape_of(task.shape), task.which, task.inputs())
        return list(self.calls)


def validate(side: Any, task: Task) -> None:
    """Compare every way in which a side computes a task with the reference.

    Raises
    ------
    ValueError
        When they differ.
    """
    if isinstance(side, Reference):
        return
    shape, inputs = shape_of(task.shape), task.inputs()
    calls = side.calls(shape, task.which, inputs)
    if not calls:
        return
    (twin,) = Reference(1).calls(shape, task.which, inputs).values()
    expected = twin.arrays(twin.run())
    for variant, call in calls.items():
        found = call.arrays(call.run())
        if len(found) != len(expected):
            raise ValueError(
                f"{task}{_by(side, variant)}: {len(found)} arrays, not {len(expected)}"
            )
        for a, b in zip(found, expected, strict=True):
            _compare(a, b, f"{task}{_by(side, variant)}")


def _by(side: Any, variant: str) -> str:
    return f" by {type(side).__name__}{' ' * bool(variant)}{variant}"


def _compare(found: Array, expected: Array, what: str) -> None:
    if found.shape != expected.shape:
        raise ValueError(
            f"{what} has shape {found.shape}, but {expected.shape} in the reference; nothing is "
            "timed that is wrong"
        )
    difference = float(np.abs(found - expected).max())
    largest = float(np.abs(expected).max())
    if not difference <= TOLERANCE * largest:  # a NaN is wrong too
        raise ValueError(
            f"{what} differs from the reference by up to {difference:.2g} where numbers reach "
            f"{largest:.2g}; nothing is timed that is wrong"
        )


def time_call(call: Call) -> list[float]:
    """Seconds a call takes, in every sample of this turn, after a warm-up.

    Since the last turn other processes have had the caches, and the CPU may have slowed its clock.
    """
    calls, taken = 0, 0.0
    begin = start = time.perf_counter()
    while calls < 2 or start - begin < WARM_SECONDS:
        start = time.perf_counter()
        call.run()
        taken = time.perf_counter() - start
        calls += 1
        if taken > SLOW_SECONDS:
            break
    loops = max(1, round(SAMPLE_SECONDS / max(taken, 1e-9)))
    samples: list[float] = []
    begin = time.perf_counter()
    while not samples or (len(samples) < MOST_SAMPLES and start - begin < TURN_SECONDS):
        start = time.perf_counter()
        for _ in range(loops):
            call.run()
        samples.append((time.perf_counter() - start) / loops)
    return samples


def time_cold(call: Call) -> list[float]:
    """Seconds a call takes when none of its arrays is in a cache: each sample is a single call."""
    flush = np.zeros(2 * last_cache(), np.uint8)
    samples = []
    for _ in range(COLD_SAMPLES):
        flush += 1  # the caches hold this now
        start = time.perf_counter()
        call.run()
        samples.append(time.perf_counter() - start)
    return samples


def memory_of(call: Call) -> int:
    """Bytes of the arrays that a call makes, its result's and others', at most at one time."""
    call.run()  # what it keeps from the first call on is not counted
    tracemalloc.start()
    try:
        call.run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    """Answer requests until standard input ends.

    Those between "fork" and "end" are answered by a child, which has imported everything and called
    nothing: where a call finds its memory, and whether the system must hand it out anew, hangs on
    what its process allocated before, and makes NumPy faster or slower by a third.
    """
    name, threads = sys.argv[1], int(sys.argv[2])
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker: Worker | None = None
    answer: dict[str, Any]
    for line in sys.stdin:
        try:
            if worker is None:
                worker = Worker(SIDES[name](threads))
            request, answer = json.loads(line), {"answer": None}
            if request["do"] == "end":
                os._exit(0)
            # Both processes read the same pipe, in turns: it never holds more than one request.
            if request["do"] == "fork":
                _wait_for(os.fork())
            else:
                answer["answer"] = worker.answer(request)
        except Exception as error:  # the other process tells people
            kind = (
                "" if isinstance(error, ValueError | ImportError) else type(error).__name__ + ": "
            )
            answer = {"error": f"{kind}{error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _wait_for(child: int) -> None:
    """Return at once in the child; in its parent when it has ended, and end as badly as it did."""
    if child == 0:
        return
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        os.kill(os.getpid(), -code)
    if code:
        os._exit(code)
