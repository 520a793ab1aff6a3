"""What a race has come to: a table for people, a dict and a JSON file for programs."""

import json
import math
import platform
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ..files import replacing
from ..system import build_info
from ..tables import print_whole
from .machine import at_peak, cpu_name
from .pytorch import CHANNELS_LAST
from .race import OURS, Result, Row
from .settings import Setting
from .words import duration, percent, size, where_the_time_goes

FORMAT = 2  # of the JSON file


def geometric_mean(ratios: list[float]) -> float:
    """The mean for ratios: twice as fast and half as fast make 1."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def rate(row: Row, result: Result) -> tuple[float, str, float] | None:
    """What pyconv achieves of what bounds the task: amount a second, its unit, share of the peak.

    Computing bounds a task or moving its bytes, whichever takes longer at this machine's peak.
    """
    seconds, task = row.median(OURS), row.task
    if seconds is None:
        return None
    computing, moving = at_peak(task, result.peaks[row.setting])
    if computing >= moving:
        return task.cost.operations / seconds / 1e9, "GF/s", computing / seconds
    return task.bytes / seconds / 1e9, "GB/s", moving / seconds


def print_result(result: Result, console: Console) -> None:
    """Print the machine, the table, the geometric means and where the time goes."""
    console.print(cpu_name(), soft_wrap=True)
    for setting, peaks in result.peaks.items():
        console.print(
            f"{setting}: peak measured {peaks.operations / 1e9:.0f} GF/s of multiply-adds, "
            f"{peaks.bytes / 1e9:.1f} GB/s of copying (read + written)",
            soft_wrap=True,
        )
    versions = ", ".join(f"{side} {version}" for side, version in result.versions.items())
    console.print(versions, soft_wrap=True)
    print_whole(_table(result) if len(result.peaks) == 1 else _side_by_side(result), console)
    console.print(_notes(result), style="dim", soft_wrap=True)
    for setting in result.peaks:
        means = [
            f"{geometric_mean(ratios):.2f} × {rival} ({len(ratios)} rows)"
            for rival in result.rivals
            if (ratios := ratios_of(result, rival, setting))
        ]
        if means:
            where = f" on {setting}" if len(result.peaks) > 1 else ""
            console.print(
                f"geometric mean of the speed-ups{where}: {', '.join(means)}", soft_wrap=True
            )
    console.print(where_the_time_goes(result), soft_wrap=True, style="bold")


def empty_table(result: Result) -> Table:
    """A table whose first columns name the task."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in ("shape", "pass"):
        table.add_column(column, no_wrap=True)
    _add_numbers(table, "batch")
    if _shows_dtypes(result):
        table.add_column("dtype", no_wrap=True)
    return table


def _shows_dtypes(result: Result) -> bool:
    return any(row.task.dtype != "float32" for row in result.rows)


def name_cells(row: Row, result: Result) -> list[str]:
    """What the first columns say."""
    task = row.task
    return [task.shape, task.which, str(task.batch), *[task.dtype] * _shows_dtypes(result)]


def _add_numbers(table: Table, *headers: str, style: str | None = None) -> None:
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True, style=style)


def _table(result: Result) -> Table:
    """One setting: everything about each task."""
    table = empty_table(result)
    cold = any(row.cold_seconds is not None for row in result.rows)
    _add_numbers(table, "pyconv", "±", "rate", "of peak", "memory", *["cold"] * cold)
    for rival in result.rivals:
        _add_numbers(table, rival)
        _add_numbers(table, "speed-up", style="bold")
    for row in result.rows:
        achieved = rate(row, result)
        cells = [
            *name_cells(row, result),
            duration(row.median(OURS)),
            percent(row.spread(OURS)),
            "-" if achieved is None else f"{achieved[0]:.1f} {achieved[1]}",
            "-" if achieved is None else f"{achieved[2]:.0%}",
            size(row.memory),
            *[duration(row.cold_seconds)] * cold,
        ]
        for rival in result.rivals:
            mark = " cl" if row.variant(rival) == CHANNELS_LAST else ""
            cells += [duration(row.median(rival)) + mark, _ratio(row, rival)]
        table.add_row(*cells)
    return table


def _side_by_side(result: Result) -> Table:
    """Several settings: time, spread, share of the peak and speed-ups of each."""
    table = empty_table(result)
    for setting in result.peaks:
        first, second = str(setting).split(", ")
        _add_numbers(table, f"{first}\n{second}", "±", "of\npeak")
        for rival in result.rivals:
            _add_numbers(table, f"speed-up\n{rival}", style="bold")
    for i in range(0, len(result.rows), len(result.peaks)):
        rows = result.rows[i : i + len(result.peaks)]
        cells = name_cells(rows[0], result)
        for row in rows:
            achieved = rate(row, result)
            cells += [
                duration(row.median(OURS)),
                percent(row.spread(OURS)),
                "-" if achieved is None else f"{achieved[2]:.0%}",
                *(_ratio(row, rival) for rival in result.rivals),
            ]
        table.add_row(*cells)
    return table


def _ratio(row: Row, rival: str) -> str:
    ratio = row.ratio(rival)
    return "-" if ratio is None else f"{ratio:.2f}"


def _notes(result: Result) -> str:
    notes = (
        "±: from the first quartile of the samples to the third, by the median. of peak: of "
        "computing or copying, whichever bounds the task; above 100% where data stays in a cache, "
        "or fewer operations do."
    )
    if len(result.peaks) == 1:
        notes += (
            " memory: what a call allocates for arrays, its result included, beside its inputs and "
            "the working memory that kernels keep. cold: with nothing in a cache, where moving "
            "bytes bounds the task."
        )
    if result.rivals:
        notes += " speed-up: the rival's time by pyconv's, above 1 where pyconv is faster."
    if any(row.variant(rival) == CHANNELS_LAST for row in result.rows for rival in result.rivals):
        notes += " cl: in channels_last, the faster of the two layouts."
    return notes


def ratios_of(result: Result, rival: str, setting: Setting | None = None) -> list[float]:
    """The ratios of every row, or every row of a setting, that a rival computes."""
    return [
        ratio
        for row in result.rows
        if setting in (None, row.setting) and (ratio := row.ratio(rival)) is not None
    ]


def as_dict(result: Result) -> dict[str, Any]:
    """All of a result, in numbers and words."""
    return {
        "format": FORMAT,
        "machine": {"cpu": cpu_name(), "system": platform.platform()},
        "build": build_info(),
        "versions": result.versions,
        "settings": [
            {
                **setting._asdict(),
                "peak_gflops": peaks.operations / 1e9,
                "peak_copy_gbytes_per_s": peaks.bytes / 1e9,
            }
            for setting, peaks in result.peaks.items()
        ],
        "rows": [_row_as_dict(row, result) for row in result.rows],
        "geometric_means": {
            rival: geometric_mean(ratios)
            for rival in result.rivals
            if (ratios := ratios_of(result, rival))
        },
    }


def _row_as_dict(row: Row, result: Result) -> dict[str, Any]:
    achieved, task = rate(row, result), row.task
    return {
        "shape": task.shape,
        "op": task.op,
        "pass": task.which,
        "dtype": task.dtype,
        "batch": task.batch,
        **row.setting._asdict(),
        "operations": task.cost.operations,
        "bytes": task.bytes,
        "memory": row.memory,
        "rate": achieved and {"amount": achieved[0], "unit": achieved[1], "of_peak": achieved[2]},
        "median_seconds": {side: row.median(side) for side in result.versions},
        "cold_seconds": row.cold_seconds,
        "spread": {side: row.spread(side) for side in result.versions},
        "fastest_variant": {side: row.variant(side) for side in result.versions},
        "ratios": {rival: row.ratio(rival) for rival in result.rivals},
        "rounds": {
            side: {way: times.rounds for way, times in ways.items()}
            for side, ways in row.times.items()
        },
    }


def write_json(result: dict[str, Any], target: Path) -> None:
    """Write the JSON file, all of it or nothing."""
    with replacing(target) as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
