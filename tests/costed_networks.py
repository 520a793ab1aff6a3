"""Networks and a reader of tables for the tests of what networks cost."""

import html.parser

import numpy as np
import pytest

from pyconv.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Pooling,
    Relu,
    Sigmoid,
)
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet

IMAGES = (1, 28, 28)


def r(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def batch(N=6):
    return r(N, *IMAGES), np.arange(N) % 10


def mixed(fused=True):
    """Every kind of layer, two of which change in training."""
    layers = [
        Convolution(r(4, 1, 3, 3), r(4)), BatchNormalization(r(4), r(4)), Relu(),
        Convolution(r(6, 2, 3, 3), groups=2), Relu(), Pooling(3, 3, 2, mode="average"),
        Pooling(2, 2, 1), Dropout(0.3, 5), Flatten(), Affine(r(600, 8), r(8)), Sigmoid(),
        Affine(r(8, 10)),
    ]  # fmt: skip
    return Sequential(layers, IMAGES, "mixed", fused)


NETWORKS = {
    "simple": lambda fused: SimpleConvNet(rng=0, fused=fused),
    "deep": lambda fused: DeepConvNet(rng=0, fused=fused),
    "mixed": mixed,
}
everywhere = pytest.mark.parametrize(
    ("name", "fused"), [(name, fused) for name in NETWORKS for fused in (True, False)]
)


def refuses(call, kind, *words):
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


class Page(html.parser.HTMLParser):
    """The cells of a page, and that its elements are closed as they should be."""

    def __init__(self, page):
        super().__init__()
        self.open, self.rows, self.tags = [], [], set()
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
