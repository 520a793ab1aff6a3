"""Numbers of a profile as people read them, and the sentence that says where the time goes."""

from .race import OURS, Result, Row
from .suite import PARTS_OF_A_STEP, TRAINING_STEP

NAMES = {
    "mnist_block1": "the convolution with its ReLU and pooling",
    "mnist_affine1": "the first affine layer",
    "mnist_affine2": "the second affine layer",
    "mnist_update": "the optimizer",
}
REST = "the loss, and Python between the kernels"
MOST_ROWS = 3  # named where there is no training step
SMALLEST_SHARE = 0.005  # that is named


def duration(seconds: float | None) -> str:
    """12.3 µs or 4.56 ms; "-" for None."""
    if seconds is None:
        return "-"
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def percent(share: float | None) -> str:
    """±4%; "-" for None."""
    return "-" if share is None else f"±{share:.0%}"


def size(count: int | None) -> str:
    """12.3 kB or 4.6 MB; "-" for None."""
    if count is None:
        return "-"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def where_the_time_goes(result: Result) -> str:
    """In words: the parts of a training step where all were measured, else the longest rows.

    Of several settings, the last.
    """
    *_, setting = result.peaks
    rows = [row for row in result.rows if row.setting == setting]
    where = f" ({setting})" if len(result.peaks) > 1 else ""
    for row in rows:
        if row.task.shape == TRAINING_STEP and (parts := _parts_of(row, rows)):
            shares = _shares(parts, sum(parts.values()))
            return f"Of a training step of {duration(_seconds(row))}{where}, {shares}."
    total = sum(map(_seconds, rows))
    if len(rows) == 1:
        return f"A call of {rows[0].task} takes {duration(total)}{where}."
    longest = sorted(rows, key=_seconds, reverse=True)[:MOST_ROWS]
    shares = _shares({str(row.task): _seconds(row) for row in longest}, total)
    return f"Of the {duration(total)} that a call of each row takes{where}, {shares}."


def _seconds(row: Row) -> float:
    return row.median(OURS) or 0.0


def _parts_of(step: Row, rows: list[Row]) -> dict[str, float]:
    """Seconds of each part, longest first, and of the rest; empty where a part is missing."""
    parts = dict.fromkeys(PARTS_OF_A_STEP, 0.0)
    passes = 0
    for row in rows:
        if (
            row.task.shape in parts
            and row.task._replace(shape=TRAINING_STEP, which="step") == step.task
        ):
            parts[row.task.shape] += _seconds(row)
            passes += 1
    # forward and backward of three, and the optimizer
    if passes < 2 * len(parts) - 1:
        return {}
    named = {NAMES[name]: seconds for name, seconds in parts.items()}
    ordered = dict(sorted(named.items(), key=lambda part: part[1], reverse=True))
    # measured by themselves, the parts can take longer than the whole
    return {**ordered, REST: max(_seconds(step) - sum(ordered.values()), 0.0)}


def _shares(parts: dict[str, float], whole: float) -> str:
    shares = [
        f"{100 * seconds / whole:.0f} % is {name}"
        for name, seconds in parts.items()
        if seconds / whole >= SMALLEST_SHARE
    ]
    return " and ".join([", ".join(shares[:-1]), shares[-1]] if len(shares) > 1 else shares)
