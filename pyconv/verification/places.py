"""What the axes of a result are called, and so each place in it."""

from collections.abc import Callable

from ..window import Window

# Names an index: {"image": 0, "channel": 2, "row": 5, "column": 1}
Places = Callable[[tuple[int, ...]], dict[str, int]]


def axes(*names: str) -> Places:
    """An axis after another."""
    return lambda index: dict(zip(names, index, strict=True))


images = axes("image", "channel", "row", "column")
filters = axes("filter", "channel", "tap row", "tap column")


def numbered(index: tuple[int, ...]) -> dict[str, int]:
    """Of arrays that may be anything."""
    return {f"axis {axis}": i for axis, i in enumerate(index)}


def any_shape(index: tuple[int, ...]) -> dict[str, int]:
    """Images, rows of samples, or what has as many axes."""
    return images(index) if len(index) == 4 else numbered(index)


def column_matrix(window: Window, OH: int, OW: int) -> Places:
    """Of a column matrix (N*OH*OW, C*FH*FW): which window, and which of its taps."""

    def place(index: tuple[int, ...]) -> dict[str, int]:
        row, column = index
        image, position = divmod(row, OH * OW)
        oy, ox = divmod(position, OW)
        channel, tap = divmod(column, window.filter_h * window.filter_w)
        fy, fx = divmod(tap, window.filter_w)
        return {
            "matrix row": row, "image": image, "window row": oy, "window column": ox,
            "matrix column": column, "channel": channel, "tap row": fy, "tap column": fx,
        }  # fmt: skip

    return place
