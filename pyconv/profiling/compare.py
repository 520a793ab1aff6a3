"""What got faster or slower since an earlier profile, as far as noise lets one tell."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from ..tables import print_whole
from .race import OURS
from .report import FORMAT
from .settings import Setting
from .suite import Task
from .words import duration

KEY = ("shape", "op", "pass", "dtype", "batch", "threads", "isa")
REGRESSION = 0.10  # slower by more than this, and by more than noise, is a regression

Rows = dict[tuple[Any, ...], dict[str, Any]]


class Change(NamedTuple):
    """A row that both profiles have.

    Attributes
    ----------
    key : tuple
        Its values of `KEY`.
    before, after : float
        Seconds.
    noise : float
        Both spreads together: a change below is none.
    """

    key: tuple[Any, ...]
    before: float
    after: float
    noise: float

    @property
    def change(self) -> float:
        """By how much of the time before it takes longer; below 0 where it is faster."""
        return self.after / self.before - 1

    @property
    def is_beyond_noise(self) -> bool:
        # as many times as fast as slow: -50 % is as much of a change as +100 %
        return abs(math.log(self.after / self.before)) > math.log(1 + self.noise)

    @property
    def is_regression(self) -> bool:
        return self.is_beyond_noise and self.change > REGRESSION


def read_rows(file: Path) -> Rows:
    """The rows of a JSON file of `pyconv profile`.

    Raises
    ------
    OSError
        When it cannot be read.
    ValueError
        When it is no such file, or one of another format.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON file of pyconv profile: {error}") from None
    number = found.get("format") if isinstance(found, dict) else None
    if number != FORMAT:
        raise ValueError(
            f"{file} is no profile of format {FORMAT}, which --compare takes"
            + (f", but of format {number}" if number is not None else "")
            + "; write one with pyconv profile --json"
        )
    try:
        return rows_of(found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{file} is damaged: {type(error).__name__} {error}") from None


def rows_of(result: dict[str, Any]) -> Rows:
    """The rows of a profile by what they are of; those alone that pyconv computed."""
    rows = {}
    for row in result["rows"]:
        seconds, spread = row["median_seconds"][OURS], row["spread"][OURS]
        if seconds is not None:
            if not seconds > 0 or not (spread or 0) >= 0:
                raise ValueError(f"{seconds!r} seconds with a spread of {spread!r}")
            rows[tuple(row[name] for name in KEY)] = row
    return rows


def key_of(task: Task, setting: Setting) -> tuple[Any, ...]:
    """Where a task's row will be among `rows_of`."""
    return (task.shape, task.op, task.which, task.dtype, task.batch, setting.threads, setting.isa)


def changes(old: Rows, new: Rows) -> list[Change]:
    """Every row of both, in the new one's order."""
    return [
        Change(
            key,
            old[key]["median_seconds"][OURS],
            row["median_seconds"][OURS],
            sum(side["spread"][OURS] or 0 for side in (old[key], row)),
        )
        for key, row in new.items()
        if key in old
    ]


def print_changes(found: list[Change], old: Path, console: Console) -> bool:
    """Print what got faster or slower than noise. Returns whether there is a regression."""
    beyond = [change for change in found if change.is_beyond_noise]
    if beyond:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=None)
        for header in ("shape", "pass", "dtype"):
            table.add_column(header, no_wrap=True)
        for header in ("batch", "threads"):
            table.add_column(header, justify="right", no_wrap=True)
        table.add_column("isa", no_wrap=True)
        for header in ("before", "now", "change", "noise"):
            table.add_column(header, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for change in beyond:
            shape, _, which, dtype, batch, threads, isa = change.key
            verdict = "faster" if change.change < 0 else "slower"
            table.add_row(
                shape, which, dtype, str(batch), str(threads), isa,
                duration(change.before), duration(change.after), f"{change.change:+.0%}",
                f"±{change.noise:.0%}", "regression" if change.is_regression else verdict,
                style="red" if change.is_regression else None,
            )  # fmt: skip
        print_whole(table, console)
    regressions = sum(change.is_regression for change in found)
    faster = sum(change.change < 0 for change in beyond)
    console.print(
        f"compared with {old}: of {len(found)} rows {faster} got faster and "
        f"{len(beyond) - faster} slower than noise, {regressions} of these by more than "
        f"{REGRESSION:.0%}",
        soft_wrap=True,
    )
    return regressions > 0
