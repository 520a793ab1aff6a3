"""The figure of im2col as a page, to point at and to play with."""

from pathlib import Path

import numpy as np

from ... import pages
from ...checks import Array
from ..convolution import ConvolutionTrace
from ..pooling import PoolingTrace

MOST_NUMBERS = 250_000  # that a page holds of the images or the filters


def write_figure(trace: ConvolutionTrace | PoolingTrace, target: Path) -> None:
    """Write the trace of a convolution or a pooling as an interactive page, all of it or nothing.

    The page computes everything anew when its sliders move: it holds the images, the filters and
    the bias alone.

    Parameters
    ----------
    trace : ConvolutionTrace or PoolingTrace
        Its language is the page's.
    target : Path
        The file to write, in a folder that exists.

    Raises
    ------
    ValueError
        When the images or the filters hold no numbers, numbers that are not finite, or too many
        for a page.
    OSError
        When the file cannot be written.
    """
    words = pages.words(__package__, trace.lang)
    N, C, H, W = trace.x.shape
    w = trace.windows.window
    sizes = {
        **{"N": N, "C": C, "H": H, "W": W, "FN": 0, "FH": w.filter_h, "FW": w.filter_w},
        **{"SH": w.stride_h, "SW": w.stride_w, "DH": w.dilation_h, "DW": w.dilation_w},
        **{"top": w.pad_top, "bottom": w.pad_bottom, "left": w.pad_left, "right": w.pad_right},
    }
    given: dict[str, object] = {"kind": "pool", "sizes": sizes, "x": _numbers("x", trace.x)}
    if isinstance(trace, ConvolutionTrace):
        sizes["FN"] = len(trace.W)
        b = None if trace.b is None else _numbers("b", trace.b)
        given |= {"kind": "conv", "W": _numbers("W", trace.W), "b": b}
    # Where a pooling wants other words, they are there under the same name with _pool.
    texts = {name: words[name] for name in words if not name.endswith("_pool")}
    if isinstance(trace, PoolingTrace):
        texts |= {name: words[f"{name}_pool"] for name in texts if f"{name}_pool" in words}
    parts = {
        **pages.escaped({**texts, "lang": trace.lang, "kind": str(given["kind"])}),
        "words": pages.as_script(texts),
        "given": pages.as_script(given),
    }
    pages.write(target, __package__, parts)


def _numbers(name: str, values: Array) -> list[float]:
    """The numbers of an array in their order, each as short as its dtype allows."""
    if not 0 < values.size <= MOST_NUMBERS:
        raise ValueError(
            f"a page draws from 1 to {MOST_NUMBERS:,} numbers, but {name} of shape {values.shape} "
            f"holds {values.size:,}; use fewer images, or smaller ones"
        )
    if not np.isfinite(values).all():
        wrong = values[~np.isfinite(values)][0]
        raise ValueError(f"a page draws finite numbers, but {name} holds {wrong}")
    numbers: list[float] = values.astype(str).astype(float).ravel().tolist()
    return numbers
