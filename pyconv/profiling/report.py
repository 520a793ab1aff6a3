"""What a race has come to: a table for people, JSON for programs."""

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
from .machine import cpu_name
from .race import OURS, Result, Row
from .rivals import CHANNELS_LAST

FORMAT = 1  # of the JSON file


def geometric_mean(ratios: list[float]) -> float:
    """The mean for ratios: twice as fast and half as fast make 1."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def rate(row: Row, result: Result) -> tuple[float, str, float] | None:
    """What pyconv achieves of what bounds the task: amount a second, its unit, share of the peak.

    Computing bounds a task or moving its bytes, whichever takes longer at this machine's peak.
    """
    seconds, cost = row.median(OURS), row.task.cost
    if seconds is None:
        return None
    computing = cost.operations / result.peaks.operations
    moving = cost.bytes / result.peaks.bytes
    if computing >= moving:
        return cost.operations / seconds / 1e9, "GF/s", computing / seconds
    return cost.bytes / seconds / 1e9, "GB/s", moving / seconds


def print_result(result: Result, console: Console) -> None:
    """Print the machine, the table and the geometric means."""
    if not console.is_terminal:
        console.width = 10_000  # in a pipe a line stays a line
    info = build_info()
    threads = f"{result.threads} thread{'s' * (result.threads > 1)}"
    console.print(f"{cpu_name()}, {info['isa']}, {threads}", soft_wrap=True)
    console.print(
        f"peak measured: {result.peaks.operations / 1e9:.0f} GF/s of multiply-adds, "
        f"{result.peaks.bytes / 1e9:.1f} GB/s of copying (read + written)",
        soft_wrap=True,
    )
    versions = ", ".join(f"{side} {version}" for side, version in result.versions.items())
    console.print(versions, soft_wrap=True)

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("shape", "pass"):
        table.add_column(column, no_wrap=True)
    for column in ("batch", "pyconv", "rate", "of peak"):
        table.add_column(column, justify="right", no_wrap=True)
    for rival in result.rivals:
        table.add_column(rival, justify="right", no_wrap=True)
        table.add_column("ratio", justify="right", no_wrap=True, style="bold")
    for row in result.rows:
        table.add_row(*_cells(row, result))
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.width = max(console.width, needed)  # a table squeezed into a line would lose digits
    console.print(table)
    _print_notes(result, console)


def _cells(row: Row, result: Result) -> list[str]:
    cells = [row.task.shape, row.task.which, str(row.task.batch), _time(row.median(OURS))]
    achieved = rate(row, result)
    if achieved is None:
        cells += ["", ""]
    else:
        amount, unit, share = achieved
        cells += [f"{amount:.1f} {unit}", f"{share:.0%}"]
    for rival in result.rivals:
        ratio = row.ratio(rival)
        mark = " cl" if row.variant(rival) == CHANNELS_LAST else ""
        cells += [_time(row.median(rival)) + mark, "" if ratio is None else f"{ratio:.2f}"]
    return cells


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _print_notes(result: Result, console: Console) -> None:
    notes = (
        "ratio: the rival's time by pyconv's, above 1 where pyconv is faster. of peak: of "
        "computing or copying, whichever bounds the task; above 100% where data stays in a cache."
    )
    if any(row.variant(rival) == CHANNELS_LAST for row in result.rows for rival in result.rivals):
        notes += " cl: in channels_last, the faster of the two layouts."
    console.print(notes, style="dim", soft_wrap=True)
    means = [
        f"{geometric_mean(ratios):.2f} × {rival} ({len(ratios)} rows)"
        for rival in result.rivals
        if (ratios := ratios_of(result, rival))
    ]
    if means:
        console.print(f"geometric mean of the ratios: {', '.join(means)}", soft_wrap=True)


def ratios_of(result: Result, rival: str) -> list[float]:
    """The ratios of every row that a rival computes."""
    return [ratio for row in result.rows if (ratio := row.ratio(rival)) is not None]


def as_json(result: Result) -> dict[str, Any]:
    """All of a result, in numbers and words."""
    return {
        "format": FORMAT,
        "machine": {
            "cpu": cpu_name(),
            "system": platform.platform(),
            "threads": result.threads,
            "peak_gflops": result.peaks.operations / 1e9,
            "peak_copy_gbytes_per_s": result.peaks.bytes / 1e9,
        },
        "build": build_info(),
        "versions": result.versions,
        "rows": [_row_as_json(row, result) for row in result.rows],
        "geometric_means": {
            rival: geometric_mean(ratios)
            for rival in result.rivals
            if (ratios := ratios_of(result, rival))
        },
    }


def _row_as_json(row: Row, result: Result) -> dict[str, Any]:
    achieved = rate(row, result)
    return {
        "shape": row.task.shape,
        "pass": row.task.which,
        "batch": row.task.batch,
        "operations": row.task.cost.operations,
        "bytes": row.task.cost.bytes,
        "rate": achieved and {"amount": achieved[0], "unit": achieved[1], "of_peak": achieved[2]},
        "median_seconds": {side: row.median(side) for side in result.versions},
        "fastest_variant": {side: row.variant(side) for side in result.versions},
        "ratios": {rival: row.ratio(rival) for rival in result.rivals},
        "rounds": row.seconds,
    }


def write_json(result: Result, target: Path) -> None:
    """Write the JSON file, all of it or nothing."""
    with replacing(target) as part:
        part.write_text(json.dumps(as_json(result), indent=1) + "\n", encoding="utf-8")
