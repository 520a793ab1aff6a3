"""What `pyconv.profile` has found: a table, a sentence, a dictionary."""

from dataclasses import asdict, dataclass
from typing import Any

from ..tables import Table, amount, shape_text


@dataclass(frozen=True)
class ProfileRow:
    """One layer, or layers computed in one, and one pass.

    Attributes
    ----------
    layers : str
        Names of the layers, those of a block joined with " + ".
    which : {"forward", "backward"}
    seconds : float
        Median over the rounds.
    spread : float
        Third quartile minus first, as a part of the median.
    flops : int
        Operations, a multiply-add being two; 0 where there are none.
    bytes : int
        Size of every array read or written, each counted once.
    kept : int
        Bytes of the arrays that stay after a forward pass, those that an earlier row has kept and
        counted left out: with a backward pass to come, what it needs.
    """

    layers: str
    which: str
    seconds: float
    spread: float
    flops: int
    bytes: int
    kept: int

    @property
    def rate(self) -> tuple[float, str] | None:
        """GF/s where the row multiplies, GB/s where it only moves numbers; None for a view."""
        if self.flops:
            return self.flops / self.seconds / 1e9, "GF/s"
        return (self.bytes / self.seconds / 1e9, "GB/s") if self.bytes else None


@dataclass(frozen=True)
class NetworkProfile:
    """The time of a network, layer by layer: print it, or take its numbers from `rows`.

    Attributes
    ----------
    network : str
        Its name.
    call : {"predict", "gradient"}
        What was timed.
    input_shape : (N, ...)
    dtype, backend, isa : str
    threads, rounds : int
    rows : list of ProfileRow
        In the order in which they run.
    call_seconds, call_spread : float
        The network's own `predict` or `gradient` in the same rounds, as those of a row.
    """

    network: str
    call: str
    input_shape: tuple[int, ...]
    dtype: str
    threads: int
    backend: str
    isa: str
    rounds: int
    rows: list[ProfileRow]
    call_seconds: float
    call_spread: float

    @property
    def seconds(self) -> float:
        """Sum of the rows."""
        return sum(row.seconds for row in self.rows)

    def share(self, row: ProfileRow) -> float:
        """Part of the rows' sum that a row takes, 0 to 1."""
        return row.seconds / self.seconds

    def total(self, what: str) -> int:
        """Sum over the rows, e.g. of "flops"."""
        return sum(getattr(row, what) for row in self.rows)

    @property
    def sentence(self) -> str:
        """Where the time goes, in words."""
        parts: dict[str, list[ProfileRow]] = {}
        for row in self.rows:
            parts.setdefault(row.layers, []).append(row)
        slowest = sorted(parts, key=lambda name: -sum(map(self.share, parts[name])))
        first = parts[slowest[0]]
        passes = ", ".join(f"{self.share(row):.0%} {row.which}" for row in first)
        text = f"{sum(map(self.share, first)):.0%} of the time goes to {slowest[0]}"
        text += f" ({passes})" if len(first) > 1 else ""
        row = max(first, key=self.share)
        if row.rate is not None:
            kind = f"its {row.which} pass runs at" if len(first) > 1 else "at"
            text += f", {kind} {_rate(row)}"
        if len(slowest) > 1:
            text += f"; next is {slowest[1]} with {sum(map(self.share, parts[slowest[1]])):.0%}"
        return text + "."

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        rows = []
        for row in self.rows:
            rate = row.rate and {"amount": row.rate[0], "unit": row.rate[1]}
            numbers = asdict(row)
            numbers["pass"] = numbers.pop("which")
            rows.append(numbers | {"share": self.share(row), "rate": rate})
        totals = {name: self.total(name) for name in ("flops", "bytes", "kept")}
        return asdict(self) | {
            "input_shape": list(self.input_shape),
            "rows": rows,
            "totals": {"seconds": self.seconds, **totals},
            "sentence": self.sentence,
        }

    def __repr__(self) -> str:
        return (
            f"<NetworkProfile of {self.network} for {self.input_shape}: {len(self.rows)} rows, "
            f"{amount(self.seconds, 's')}, {self.call} itself {amount(self.call_seconds, 's')}>"
        )

    def __str__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def _table(self) -> Table:
        longest = max(row.seconds for row in self.rows)
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        where = self.isa if self.backend == "native" else f"the {self.backend} backend"
        return Table(
            columns=("layers", "pass", "time", "spread", "share", "FLOPs", "bytes", "rate", "kept"),
            words=2,
            rows=[
                [
                    row.layers,
                    row.which,
                    amount(row.seconds, "s"),
                    f"{row.spread:.0%}",
                    f"{self.share(row):.0%}",
                    amount(row.flops, "FLOP"),
                    amount(row.bytes, "B"),
                    _rate(row),
                    amount(row.kept, "B"),
                ]
                for row in self.rows
            ],
            totals=[
                "in all",
                "",
                amount(self.seconds, "s"),
                "",
                "",
                amount(self.total("flops"), "FLOP"),
                amount(self.total("bytes"), "B"),
                "",
                amount(self.total("kept"), "B"),
            ],
            heading=f"{self.network}.{self.call} of a batch {shape_text(self.input_shape)} "
            f"of {self.dtype}, {threads}, {where}",
            notes=[
                self.sentence,
                f"{self.call} itself takes {amount(self.call_seconds, 's')} (spread "
                f"{self.call_spread:.0%}). Times are medians of {self.rounds} rounds; spread: "
                "between their quartiles, of the median. kept: what stays "
                + ("for backward" if self.call == "gradient" else "after predict")
                + ", each array once.",
            ],
            bars={2: [row.seconds / longest for row in self.rows]},
        )


def _rate(row: ProfileRow) -> str:
    if row.rate is None:
        return ""
    number, unit = row.rate
    return f"{number:.1f} {unit}"
