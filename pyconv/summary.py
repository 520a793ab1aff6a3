"""How the shape of the data changes from layer to layer, and what each layer costs."""

from dataclasses import dataclass


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


def shape_text(shape: tuple[int, ...]) -> str:
    """A batch of samples of this shape, as the deck writes it: (N,30,24,24)."""
    return f"(N,{','.join(map(str, shape))})"


def print_summary(name: str, rows: list[Row]) -> None:
    """Print the shape flow of a network and a table of its layers to standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    flow: list[str] = []
    for row in rows:
        if not flow or flow[-1] != shape_text(row.shape):
            flow.append(shape_text(row.shape))

    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    columns = ("layer", "output shape", "parameters", "multiply-adds", "bytes")
    totals = (
        "in all",
        "",
        f"{sum(row.parameters for row in rows):,}",
        f"{sum(row.multiply_adds for row in rows):,}",
        f"{sum(row.bytes for row in rows):,}",
    )
    for column, total in zip(columns, totals, strict=True):
        justify = "left" if column in columns[:2] else "right"
        table.add_column(column, total, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(
            row.name,
            shape_text(row.shape),
            f"{row.parameters:,}" if row.parameters else "",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
            f"{row.bytes:,}",
        )
    console = Console(highlight=False, markup=False)
    # A narrow terminal may break lines, but a table squeezed into it would lose digits.
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.width = max(console.width, needed)
    console.print(f"{name}: {' → '.join(flow)}", soft_wrap=True)
    console.print(table)
    console.print("Multiply-adds and bytes are for one sample (N = 1), forward.", style="dim")
