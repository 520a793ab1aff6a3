"""How the shape of the data changes from layer to layer, and what each layer costs."""

from dataclasses import dataclass

from .tables import Table, shape_text


@dataclass(frozen=True)
class Row:
    """One layer of a network. Costs are for one sample.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of its output, without N.
    parameters : int
        Numbers that training changes.
    multiply_adds : int
        Operations of a forward pass.
    bytes : int
        Size of its output.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    bytes: int


def print_summary(name: str, rows: list[Row]) -> None:
    """Print the shape flow of a network and a table of its layers to standard output."""
    from rich.console import Console

    flow: list[str] = []
    for row in rows:
        shape = shape_text(("N", *row.shape))
        if not flow or flow[-1] != shape:
            flow.append(shape)
    table = Table(
        columns=("layer", "output shape", "parameters", "multiply-adds", "bytes"),
        words=2,
        rows=[
            [
                row.name,
                shape_text(("N", *row.shape)),
                f"{row.parameters:,}" if row.parameters else "",
                f"{row.multiply_adds:,}" if row.multiply_adds else "",
                f"{row.bytes:,}",
            ]
            for row in rows
        ],
        totals=[
            "in all",
            "",
            f"{sum(row.parameters for row in rows):,}",
            f"{sum(row.multiply_adds for row in rows):,}",
            f"{sum(row.bytes for row in rows):,}",
        ],
        heading=f"{name}: {' → '.join(flow)}",
        notes=["Multiply-adds and bytes are for one sample (N = 1), forward."],
    )
    table.print(Console(highlight=False, markup=False))
