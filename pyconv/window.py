"""The sliding window: what `stride`, `pad` and `dilation` mean, and the output size they give."""

import operator
from typing import NamedTuple, TypeAlias

# An int for both axes, or (height, width).
PerAxis: TypeAlias = int | tuple[int, int]
# ((top, bottom), (left, right))
Sides: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
# An int, (height, width), ((top, bottom), (left, right)), "same" or "valid".
Padding: TypeAlias = int | tuple[int, int] | Sides | str

# The kernels compute coordinates in 64 bits: a position times a stride below 2^31 cannot overflow.
LARGEST_SIZE = 2**31 - 1


class Window(NamedTuple):
    """A filter or pooling window and how it moves, all sizes in pixels.

    The compiled kernels take the ten fields in this order.
    """

    filter_h: int
    filter_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_bottom: int
    pad_left: int
    pad_right: int

    @staticmethod
    def names() -> tuple[str, str, str]:
        """What errors call the window, its height and its width."""
        return "filter", "filter height", "filter width"

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Rows and columns of padding: top, bottom, left, right."""
        return self.pad_top, self.pad_bottom, self.pad_left, self.pad_right

    @property
    def reach(self) -> tuple[int, int]:
        """Height and width from the first to the last tap, both included."""
        return (
            (self.filter_h - 1) * self.dilation_h + 1,
            (self.filter_w - 1) * self.dilation_w + 1,
        )

    @property
    def arguments(self) -> tuple[tuple[int, int], Sides, tuple[int, int]]:
        """Stride, padding and dilation as the public functions take them."""
        sides = (self.pad_top, self.pad_bottom), (self.pad_left, self.pad_right)
        return (self.stride_h, self.stride_w), sides, (self.dilation_h, self.dilation_w)

    def output_size(self, height: int, width: int, ceil_mode: bool = False) -> tuple[int, int]:
        """Size (OH, OW) of what the window makes of an image of `height` by `width`.

        `O = (I + P_before + P_after - reach) / S + 1`, floored. With `ceil_mode` the division
        rounds up, and a last window that would start in the far padding is dropped.

        Raises
        ------
        ValueError
            When the window is larger than the padded image.
        """
        reach_h, reach_w = self.reach
        padded_h = height + self.pad_top + self.pad_bottom
        padded_w = width + self.pad_left + self.pad_right
        if reach_h > padded_h or reach_w > padded_w:
            name, _, _ = self.names()
            raise ValueError(
                f"the window reaches over {reach_h}×{reach_w} pixels ({name} "
                f"{self.filter_h}×{self.filter_w}, dilation {self.dilation_h}×{self.dilation_w}) "
                f"but the padded input has only {padded_h}×{padded_w} (input {height}×{width}, "
                f"pad {((self.pad_top, self.pad_bottom), (self.pad_left, self.pad_right))}); "
                f"use a smaller {name}, more padding or a larger input"
            )
        return (
            _positions(padded_h - reach_h, self.stride_h, height + self.pad_top, ceil_mode),
            _positions(padded_w - reach_w, self.stride_w, width + self.pad_left, ceil_mode),
        )


class PoolingWindow(Window):
    """The window of a pooling, where no filter is."""

    @staticmethod
    def names() -> tuple[str, str, str]:
        return "pool", "pool_h", "pool_w"


def _positions(room: int, stride: int, far_padding: int, ceil_mode: bool) -> int:
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= far_padding else count


def make_window(
    filter_h: int,
    filter_w: int,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    image_size: tuple[int, int],
    of: type[Window] = Window,
) -> Window:
    """Read the arguments of a public function into a `Window` over images of `image_size`.

    Raises
    ------
    TypeError, ValueError
        When an argument is not of a form that `PerAxis` or `Padding` names, or out of range.
    """
    _, height, width = of.names()
    filter_h = whole(height, filter_h, at_least=1)
    filter_w = whole(width, filter_w, at_least=1)
    stride_h, stride_w = per_axis("stride", stride)
    dilation_h, dilation_w = per_axis("dilation", dilation)
    if isinstance(pad, str):
        pads = _named_padding(
            pad,
            (filter_h - 1) * dilation_h + 1,
            (filter_w - 1) * dilation_w + 1,
            (stride_h, stride_w),
            image_size,
        )
    else:
        pads = _padding(pad)
    return of(filter_h, filter_w, stride_h, stride_w, dilation_h, dilation_w, *pads)


def whole(name: str, value: object, at_least: int = 0) -> int:
    """`value` as an int, or an error that names it."""
    if type(value) is int and at_least <= value <= LARGEST_SIZE:
        return value  # nearly always, and called several times for every kernel
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if not at_least <= number <= LARGEST_SIZE:
        bound = f"at least {at_least}" if number < at_least else f"at most {LARGEST_SIZE}"
        raise ValueError(f"{name} must be {bound}, not {number}")
    return number


def per_axis(name: str, value: object) -> tuple[int, int]:
    """Read an int or (height, width), both at least 1."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{name} must be an int or (height, width), not {value!r}")
        return whole(f"{name} height", value[0], 1), whole(f"{name} width", value[1], 1)
    both = whole(name, value, 1)
    return both, both


def explicit(pad: Padding) -> str | list[list[int]]:
    """A padding as JSON can hold it: its word, or [[top, bottom], [left, right]]."""
    if isinstance(pad, str):
        return pad
    top, bottom, left, right = _padding(pad)
    return [[top, bottom], [left, right]]


def _padding(pad: object) -> tuple[int, int, int, int]:
    """Read an explicit padding as (top, bottom, left, right)."""
    if not isinstance(pad, tuple | list):
        all_sides = whole("pad", pad)
        return all_sides, all_sides, all_sides, all_sides
    pairs = [isinstance(side, tuple | list) and len(side) == 2 for side in pad]
    if len(pad) == 2 and all(pairs):
        (top, bottom), (left, right) = pad
    elif len(pad) == 2 and not any(isinstance(side, tuple | list) for side in pad):
        (top, left), (bottom, right) = pad, pad
    else:
        raise ValueError(
            "pad must be an int, (height, width), ((top, bottom), (left, right)), "
            f"'same' or 'valid', not {pad!r}"
        )
    return (
        whole("pad top", top),
        whole("pad bottom", bottom),
        whole("pad left", left),
        whole("pad right", right),
    )


def _named_padding(
    pad: str, reach_h: int, reach_w: int, stride: tuple[int, int], image_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Padding for "valid": none, or "same": OH = ceil(H / S), an odd pixel on the far side."""
    if pad == "valid":
        return 0, 0, 0, 0
    if pad != "same":
        raise ValueError(f"pad must be 'same' or 'valid' where it is a word, not {pad!r}")

    def sides(size: int, reach: int, step: int) -> tuple[int, int]:
        total = max((-(-size // step) - 1) * step + reach - size, 0)
        return total // 2, whole("the padding that 'same' makes", total - total // 2)

    return *sides(image_size[0], reach_h, stride[0]), *sides(image_size[1], reach_w, stride[1])
