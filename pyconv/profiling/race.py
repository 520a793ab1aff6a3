"""The parent of the workers: asks them in turns, one at a time, and keeps what they answer."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .machine import Peaks
from .suite import Task

OURS = "pyconv"

# After a parallel region the threads of PyTorch's OpenMP, OpenBLAS and ONNX Runtime wait in a loop
# for the next one, for a few milliseconds (LLVM's OpenMP for 200 unless told otherwise, below).
# They would take the cores from the side whose turn comes next. Making them sleep at once instead
# would slow every side down in a way that its users do not see.
PAUSE_SECONDS = 0.05

SLOW_SECONDS = 0.5  # such a call is long enough to be measured well in one round


START = "from pyconv.profiling.worker import main\nmain()"


class Side:
    """A process that runs one library. Use in a `with` block."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.version = name, ""
        count = str(threads)
        environment = os.environ | {
            "OMP_NUM_THREADS": count,
            "OPENBLAS_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "KMP_BLOCKTIME": "20",
            "PYCONV_BACKEND": "native",
        }
        # -P: a file of the current folder is not taken for a module
        command = [sys.executable, "-P", "-c", START, name, count]
        self.process = subprocess.Popen(
            command, env=environment, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> "Side":
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, do: str, **details: Any) -> Any:
        """What the process answers.

        Raises
        ------
        ValueError
            When it answers with an error, in that error's words.
        ChildProcessError
            When it has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = ""
        try:
            print(json.dumps({"do": do, **details}), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            raise ChildProcessError(
                f"the process of {self.name} ended with code {self.process.wait()} when it was "
                f"asked to {do} {details}"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["answer"]


@dataclass(frozen=True)
class Row:
    """The times of one task.

    Attributes
    ----------
    task : Task
    seconds : dict of str to dict of str to list of float
        Of every side, of every way in which it computes the task, the time of a call in each round.
    """

    task: Task
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def variant(self, side: str) -> str | None:
        """The fastest of the ways in which a side computes the task; None where it has none."""
        ways = self.seconds.get(side)
        return min(ways, key=lambda way: statistics.median(ways[way])) if ways else None

    def median(self, side: str) -> float | None:
        """Seconds that a side takes, its fastest way."""
        variant = self.variant(side)
        return None if variant is None else statistics.median(self.seconds[side][variant])

    def ratio(self, rival: str) -> float | None:
        """How many times as long as pyconv a rival takes.

        The median over the rounds of the two times of a round, which stand close to each other:
        what slows the machine down for a while slows both.
        """
        variant, ours = self.variant(rival), self.variant(OURS)
        if variant is None or ours is None:
            return None
        # a slow side has fewer rounds
        rounds = zip(self.seconds[rival][variant], self.seconds[OURS][ours], strict=False)
        return statistics.median(theirs / own for theirs, own in rounds)


@dataclass(frozen=True)
class Result:
    """All that was measured, for `report` to show."""

    threads: int
    peaks: Peaks
    versions: dict[str, str]
    rows: list[Row]

    @property
    def rivals(self) -> list[str]:
        return [side for side in self.versions if side != OURS]


def race(
    tasks: list[Task],
    rivals: list[str],
    threads: int,
    rounds: int,
    progress: Callable[[str], None] = lambda what: None,
) -> Result:
    """Measure tasks with pyconv and its rivals.

    Parameters
    ----------
    tasks : list of Task
    rivals : list of str
        Of `rivals.RIVALS`.
    threads : int
        That each side uses.
    rounds : int
        Turns of every side at every task.
    progress : callable, optional
        Is called with what comes next, once before each task.

    Raises
    ------
    ValueError
        When a side cannot be imported, or computes something else than the reference.
    ChildProcessError
        When a side's process dies.
    """
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(name, threads)) for name in (OURS, *rivals)]
        for side in sides:
            side.version = side.ask("hello")
        pause = PAUSE_SECONDS if threads > 1 else 0.0  # one thread has nobody to wait for
        time.sleep(pause)
        before = Peaks(*sides[0].ask("peaks"))
        rows = []
        for task in tasks:
            progress(str(task))
            rows.append(_race_one(task, sides, rounds, pause))
        # Once more: the machine may have been busy the first time.
        time.sleep(pause)
        after = Peaks(*sides[0].ask("peaks"))
        peaks = Peaks(*map(max, before, after))
        return Result(threads, peaks, {side.name: side.version for side in sides}, rows)


def _race_one(task: Task, sides: list[Side], rounds: int, pause: float) -> Row:
    row = Row(task)
    for side in sides:
        row.seconds[side.name] = {way: [] for way in side.ask("prepare", task=task)}
    for _ in range(rounds):
        for side in sides:
            for way, seconds in row.seconds[side.name].items():
                if seconds and seconds[0] > SLOW_SECONDS:
                    continue
                time.sleep(pause)
                seconds.append(side.ask("time", variant=way))
    return row
