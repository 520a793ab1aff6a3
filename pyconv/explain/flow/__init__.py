"""The page of `pyconv explain network --html`: a network's layers, and an image on its way."""

import base64
import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import pages
from ...checks import Array
from ...layers import Affine, Convolution, Layer, Pooling, Relu
from ...window import Window
from ..network import LayerStep, NetworkTrace

MOST_OF_A_LAYER = 20_000  # numbers of an image; of larger layers the first channels are shown
COLOURS = 3  # channels of an image that are drawn as one picture
MOST_OF_WEIGHTS = 5_000
MOST_OF_THE_PAGE = 500_000  # characters of numbers: it holds as many images of the batch as fit


def write_flow(
    trace: NetworkTrace, target: Path, labels: Sequence[int] | None = None, note: str = ""
) -> None:
    """Write a network's trace as a page of HTML, all of it or nothing, in the trace's language.

    Parameters
    ----------
    trace : NetworkTrace
    target : Path
        The file to write, in a folder that exists.
    labels : sequence of int, optional
        What the images of the batch show.
    note : str
        A sentence about the network: where its weights come from.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    words = pages.words(__package__, trace.lang)
    shown = _channels_shown(trace)
    samples = [_sample(trace, shown, 0)]
    room = MOST_OF_THE_PAGE // max(sum(map(len, samples[0])), 1)
    count = min(max(room, 1), len(trace.steps[0].array))
    samples += [_sample(trace, shown, n) for n in range(1, count)]
    data = {
        "words": words,
        "steps": [_step(step, channels) for step, channels in zip(trace, shown, strict=True)],
        "samples": samples,
        "labels": None if labels is None else [int(label) for label in labels],
        "batch": len(trace.steps[0].array),
    }
    title = words["title"].format(name=trace.title)
    parts = pages.escaped(words)
    parts |= {
        "lang": trace.lang,
        "title": html.escape(title),
        "about": html.escape(f"{words['lead'].format(name=trace.title)} {note}".strip()),
        "data": pages.as_script(data),
    }
    pages.write(target, __package__, parts)


def _channels_shown(trace: NetworkTrace) -> list[int | None]:
    """How many channels of each layer the page holds; None where there are no maps."""
    shown: list[int | None] = []
    for step in trace:
        if step.array.ndim != 4:
            shown.append(None)
            continue
        least = 1 if shown else COLOURS
        most = max(MOST_OF_A_LAYER // math.prod(step.shape[2:]), least)
        if shown and shown[-1] and not isinstance(step.layer, Convolution):
            most = shown[-1]  # channels go on as they are
        shown.append(min(most, step.shape[1]))
    return shown


def _kind(layer: Layer | None) -> str:
    """What the page knows how to compute from the layer before."""
    if isinstance(layer, Convolution):
        return "conv"
    if isinstance(layer, Pooling):
        return layer.mode
    if isinstance(layer, Affine):
        return "affine"
    return "relu" if isinstance(layer, Relu) else "other"


def _sample(trace: NetworkTrace, shown: list[int | None], n: int) -> list[str]:
    """An image's numbers after each layer; "" for those that the page can pick or clip itself."""
    packed = []
    for step, channels in zip(trace, shown, strict=True):
        if step.argmax is not None:
            packed.append(_packed(step.argmax[n, :channels], "<u2"))
        elif isinstance(step.layer, Relu):
            packed.append("")
        else:
            kept = step.array[n, :channels] if channels else step.array[n].ravel()[:MOST_OF_A_LAYER]
            packed.append(_packed(kept))
    return packed


def _step(step: LayerStep, channels: int | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": step.name,
        "kind": _kind(step.layer),
        "rule": step.rule,
        "shape": step.shape,
        "channels": channels,
        "units": min(math.prod(step.shape[1:]), MOST_OF_A_LAYER),
        "parameters": list(step.parameters),
        "window": None if step.windows is None else _geometry(step.windows.window),
    }
    if isinstance(step.layer, Pooling):
        described["padded"] = step.layer.count_include_pad
    if isinstance(step.layer, Convolution):
        described["taps"] = step.layer.W.shape[1:]
    if isinstance(step.layer, Convolution | Affine) and step.layer.W.size <= MOST_OF_WEIGHTS:
        described["W"] = _packed(step.layer.W)
        described["b"] = _packed(np.broadcast_to(step.layer.b, step.shape[1]))
    return described


def _geometry(window: Window) -> list[list[int]]:
    """For each axis: taps, stride, dilation, and the padding before the image and after it."""
    return [[*window[:6:2], *window.pads[:2]], [*window[1:6:2], *window.pads[2:]]]


def _packed(array: Array, dtype: str = "<f4") -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()
