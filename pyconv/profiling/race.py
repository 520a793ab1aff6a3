"""The parent of the workers: asks them in turns, one at a time, and keeps what they answer."""

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .machine import Peaks, is_bound_by_memory
from .samples import spread
from .settings import Setting
from .suite import Task

OURS = "pyconv"

SLOW_SECONDS = 0.5  # such a call is long enough to be measured well in one round

START = "from pyconv.profiling.worker import main\nmain()"


class Side:
    """A process that runs one library. Use in a `with` block.

    Parameters
    ----------
    name : str
        Of `rivals.SIDES`.
    threads : int
    isa : str, optional
        The instruction set of pyconv's kernels.
    """

    def __init__(self, name: str, threads: int, isa: str | None = None) -> None:
        self.name, self.threads, self.isa = name, threads, isa
        count = str(threads)
        environment = os.environ | {
            "OMP_NUM_THREADS": count,
            "OPENBLAS_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "PYCONV_BACKEND": "native",
        }
        if isa is not None:
            environment["PYCONV_ISA"] = isa
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
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # a child of it as well
        self.process.communicate()

    @contextmanager
    def forked(self) -> Iterator[None]:
        """Let a new process answer what is asked meanwhile, which is gone when another side is.

        Its threads are gone with it: those of PyTorch's OpenMP, OpenBLAS and ONNX Runtime wait in a
        loop for more work, and would take the cores from the side whose turn comes next.
        """
        self.ask("fork")
        yield
        self.ask("end")

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


@dataclass
class Times:
    """Seconds of a side's calls.

    Attributes
    ----------
    rounds : list of float
        The median of each round.
    samples : list of float
        Of all rounds.
    """

    rounds: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def are_slow(self) -> bool:
        """Whether a call is long enough to be measured well in one round."""
        return bool(self.rounds) and self.rounds[0] > SLOW_SECONDS

    @property
    def spread(self) -> float | None:
        """From the first quartile of the samples to the third, by their median; None for one."""
        return spread(self.samples) if len(self.samples) > 1 else None

    def add(self, samples: list[float]) -> None:
        """Enter another round."""
        self.rounds.append(statistics.median(samples))
        self.samples += samples


@dataclass
class Row:
    """The times of one task in one setting of pyconv, and of its rivals on as many threads.

    Attributes
    ----------
    task : Task
    setting : Setting
    times : dict of str to dict of str to Times
        Of every side, of every way in which it computes the task.
    memory : int or None
        Bytes of the arrays that a call of pyconv makes, its result's among them.
    cold_seconds : float or None
        The median of pyconv's calls with nothing in a cache; None where that matters little.
    """

    task: Task
    setting: Setting
    times: dict[str, dict[str, Times]]
    memory: int | None = None
    cold_seconds: float | None = None

    def variant(self, side: str) -> str | None:
        """The fastest of the ways in which a side computes the task; None where it has none."""
        ways = self.times.get(side)
        return min(ways, key=lambda way: ways[way].median) if ways else None

    def fastest(self, side: str) -> Times | None:
        """The times of that way."""
        variant = self.variant(side)
        return None if variant is None else self.times[side][variant]

    def median(self, side: str) -> float | None:
        """Seconds that a side takes, its fastest way."""
        times = self.fastest(side)
        return None if times is None else times.median

    def spread(self, side: str) -> float | None:
        """How far its samples lie apart; see `Times.spread`."""
        times = self.fastest(side)
        return None if times is None else times.spread

    def ratio(self, rival: str) -> float | None:
        """How many times as long as pyconv a rival takes.

        The median over the rounds of the two times of a round, which stand close to each other:
        what slows the machine down for a while slows both.
        """
        theirs, ours = self.fastest(rival), self.fastest(OURS)
        if theirs is None or ours is None:
            return None
        # a slow side has fewer rounds
        rounds = zip(theirs.rounds, ours.rounds, strict=False)
        return statistics.median(their / our for their, our in rounds)


@dataclass(frozen=True)
class Result:
    """All that was measured, for `report` to show.

    Attributes
    ----------
    peaks : dict of Setting to Peaks
        In the order in which settings are shown.
    versions : dict of str to str
        Of every side, pyconv first.
    rows : list of Row
        Task by task, of every task all settings.
    """

    peaks: dict[Setting, Peaks]
    versions: dict[str, str]
    rows: list[Row]

    @property
    def rivals(self) -> list[str]:
        return [side for side in self.versions if side != OURS]


def race(
    tasks: list[Task],
    rivals: list[str],
    settings: list[Setting],
    rounds: int,
    progress: Callable[[str], None] = lambda what: None,
) -> Result:
    """Measure tasks with pyconv and its rivals.

    Parameters
    ----------
    tasks : list of Task
    rivals : list of str
        Of `rivals.RIVALS`.
    settings : list of Setting
        Of pyconv; rivals are measured once for each number of threads.
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
        ours = {s: stack.enter_context(Side(OURS, s.threads, s.isa)) for s in settings}
        counts = dict.fromkeys(setting.threads for setting in settings)
        others = [stack.enter_context(Side(name, count)) for count in counts for name in rivals]
        versions = {side.name: side.ask("hello") for side in (*ours.values(), *others)}
        before = {setting: _peaks(side) for setting, side in ours.items()}
        rows: list[Row] = []
        for task in tasks:
            progress(str(task))
            rows += _race_one(task, ours, others, before, rounds)
        peaks = {  # once more: the machine may have been busy the first time
            setting: Peaks(*map(max, before[setting], _peaks(side)))
            for setting, side in ours.items()
        }
    return Result(peaks, versions, rows)


def _peaks(side: Side) -> Peaks:
    with side.forked():
        return Peaks(*side.ask("peaks"))


def _race_one(
    task: Task,
    ours: dict[Setting, Side],
    others: list[Side],
    peaks: dict[Setting, Peaks],
    rounds: int,
) -> list[Row]:
    settings = {side: setting for setting, side in ours.items()}
    measured: dict[Side, dict[str, Times]] = {side: {} for side in (*settings, *others)}
    memory: dict[Side, int] = {}
    cold: dict[Side, float] = {}
    for side in measured:
        # In a process of its own: OpenBLAS, with which the reference computes, keeps a thread busy
        # for a tenth of a second after its work.
        with side.forked():
            side.ask("validate", task=task)
    for turn in range(rounds):
        for side, ways in measured.items():
            if turn and all(times.are_slow for times in ways.values()):
                continue
            with side.forked():
                for way in side.ask("prepare", task=task):
                    times = ways.setdefault(way, Times())
                    if not times.are_slow:
                        times.add(side.ask("time", variant=way))
                if turn or side not in settings:
                    continue
                memory[side] = side.ask("memory", variant="")
                if is_bound_by_memory(task, peaks[settings[side]]):
                    cold[side] = statistics.median(side.ask("time cold", variant=""))
    rows = []
    for side, setting in settings.items():
        rivals = {o.name: measured[o] for o in others if o.threads == setting.threads}
        times_of = {OURS: measured[side], **rivals}
        rows.append(Row(task, setting, times_of, memory[side], cold.get(side)))
    return rows
