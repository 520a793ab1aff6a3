"""Rules in numbers, which the traces of a convolution and of a pooling share."""

from collections.abc import Sequence

import numpy as np

from ..checks import Array
from ..tables import shape_text
from ..window import Window
from . import labels
from .trace import Step
from .windows import Windows
from .words import Words

MOST_TERMS = 12  # of a sum: those of the lecture's window


def geometry(window: Window) -> dict[str, str]:
    """Stride, padding and dilation as the public functions take them, in their shortest form."""
    stride, ((top, bottom), (left, right)), dilation = window.arguments
    sides = f"(({top},{bottom}),({left},{right}))"
    if (top, left) == (bottom, right):
        sides = _pair((top, left))
    return {"stride": _pair(stride), "pad": sides, "dilation": _pair(dilation)}


def im2col_code(window: Window) -> str:
    """The call of im2col, without what is as the default has it."""
    options = geometry(window)
    given = [f"{name}={options[name]}" for name in ("stride", "pad")]
    if options["dilation"] != "1":
        given.append(f"dilation={options['dilation']}")
    return f"col = im2col(x, {window.filter_h}, {window.filter_w}, {', '.join(given)})"


def output_size(windows: Windows, filters: str) -> str:
    """How OH and OW come about, in numbers: a line for each.

    Parameters
    ----------
    windows : Windows
    filters : {"F", "P"}
        Sizes of the window are called FH and FW, or PH and PW.
    """
    w, (OH, OW) = windows.window, windows.output_size
    _, _, H, W = windows.input_shape
    lines = [
        _size(axis, "2·P" if before == after else "P", size, before + after, reach_name, reach,
              step, out)
        for axis, size, before, after, reach, reach_name, step, out in (
            ("H", H, w.pad_top, w.pad_bottom, w.reach[0],
             _reach(filters + "H", w.dilation_h), w.stride_h, OH),
            ("W", W, w.pad_left, w.pad_right, w.reach[1],
             _reach(filters + "W", w.dilation_w), w.stride_w, OW),
        )
    ]  # fmt: skip
    return "\n".join(lines)


def _size(
    axis: str, pads: str, size: int, padded: int, reach_name: str, reach: int, step: int, out: int
) -> str:
    """The rule of an axis in symbols, which rounds, and in numbers, which may come out even."""
    rest = (size + padded - reach) % step
    left, right = "⌊⌋" if out == (size + padded - reach) // step + 1 else "⌈⌉"
    numbers = f"({size} + {padded} − {reach}) / {step}"
    if rest:
        numbers = f"{left}{numbers}{right}"
    return (
        f"O{axis} = {left}({axis} + {pads} − {reach_name}) / S{right} + 1 = {numbers} + 1 = {out}"
    )


def _reach(size: str, dilation: int) -> str:
    return size if dilation == 1 else f"(({size} − 1)·{dilation} + 1)"


def _pair(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"({pair[0]},{pair[1]})"


def images(word: Words, x: Array, window: Window, outside: str) -> str:
    """What the images are, and what padding counts as where there is some."""
    N, C, H, W = x.shape
    rule = word("x", images=word.count("image", N), channels=word.count("channel", C), H=H, W=W)
    return f"{rule}\n{word('pad', pad=labels.PAD, value=outside)}" if any(window.pads) else rule


def gathered(
    word: Words, windows: Windows, name: str, counts: Array, dcol: Array, dx: Array
) -> list[Step]:
    """The last steps of both gradients: what col2im adds up for each pixel.

    Parameters
    ----------
    word : Words
    name : {"overlaps", "wins"}
        What is counted.
    counts, dx : ndarray (N, C, H, W)
    dcol : ndarray (N*OH*OW, C*FH*FW)
    """
    example = ""
    if counts.any():
        pixel = np.unravel_index(counts.argmax(), counts.shape)
        rows, columns = windows.uses(*map(int, pixel))
        example = word(
            "dx example", label=f"dD{pixel[2] * dx.shape[3] + pixel[3]}",
            rows=word("one rows" if len(rows) == 1 else "several rows", rows=listed(rows)),
            terms=sum_of([number(term) for term in dcol[rows, columns]]), value=number(dx[pixel]),
            equals=equals(*dcol[rows, columns], dx[pixel]),
        )  # fmt: skip
    least, most = (int(counts.min()), int(counts.max())) if counts.size else (0, 0)
    lost = int((counts == 0).sum())
    sentence = "overlaps none" if name == "overlaps" and least == most == 1 else name
    counted = word(sentence, least=least, most=most, pixels=counts.size, lost=lost)
    ones = {"overlaps": "np.ones_like(col)", "wins": "won"}[name]
    W, by_channel = dx.shape[3], labels.along(1)
    return [
        Step(
            name, f"{name} = col2im({ones}, x.shape, ...)", counted,
            counts, labels.maps("D", W), by_channel, "D", computed=True,
        ),
        Step(
            "dx", "dx = col2im(dcol, x.shape, ...)", word("dx"),
            dx, labels.maps("dD", W), by_channel, "dD", computed=True, example=example,
        ),
    ]  # fmt: skip


def matrices(left: Array, right: Array, out: Array) -> dict[str, str]:
    """The shapes of a matrix product."""
    shapes = (shape_text(matrix.shape) for matrix in (left, right, out))
    return dict(zip(("left", "right", "out"), shapes, strict=True))


def short(value: float) -> str:
    """A number in a few characters."""
    if abs(value) >= 999.5:  # what three digits would write as 1e+03
        return f"{value:.0f}"
    return f"{value + 0.0:.3g}"  # -0.0 is 0


def equals(*numbers: float) -> str:
    """The sign between a sum of numbers as `short` writes them and what it gives."""
    return "=" if all(float(short(one)) == one for one in numbers) else "≈"


def above(word: Words, dout: Array | None, y: Array) -> tuple[Array, str]:
    """The gradients a walk backward begins with, ones where none are given, and what to call them.

    Parameters
    ----------
    word : Words
    dout : ndarray of the shape of y, or None
    y : ndarray
    """
    if dout is None:
        return np.ones_like(y), word("dout ones")
    return dout, word("dout")


def number(value: float) -> str:
    """A factor or a term: in parentheses where a sign would follow another."""
    text = short(value)
    return f"({text})" if text.startswith("-") else text


def listed(numbers: Array) -> str:
    """The first of some numbers and the last: 0, 1, 2, …, 24."""
    shown = [*numbers] if len(numbers) <= MOST_TERMS else [*numbers[:3], "…", numbers[-1]]
    return ", ".join(map(str, shown))


def sum_of(terms: Sequence[str]) -> str:
    """A sum written out; of many terms the first ones and the last."""
    if len(terms) > MOST_TERMS:
        terms = [*terms[:3], "…", terms[-1]]
    return " + ".join(terms)
