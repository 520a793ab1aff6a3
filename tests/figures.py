"""What the tests of the figure's page share: traces to draw, and what is lit in the page."""

from dataclasses import replace

import numpy as np
import pytest

from pyconv import explain
from pyconv.explain.figure import write_figure


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 10, shape).astype(np.float64)


def convolution(x=(1, 3, 3, 3), W=(2, 3, 2, 2), b=True, **how):
    b = numbers(W[0], seed=2) if b else None
    return explain.convolution(numbers(*x), numbers(*W, seed=1), b, **how)


def pooling(x=(1, 3, 3, 3), pool=(2, 2), **how):
    return explain.pooling(numbers(*x), *pool, **how)


DIGIT = convolution((1, 1, 28, 28), (30, 1, 5, 5))


@pytest.fixture
def figure(opened, tmp_path):
    """Show the figure of a trace, in some width and scheme of colours."""

    def show(trace, lang="en", **how):
        write_figure(replace(trace, lang=lang), tmp_path / "page.html")
        return opened(tmp_path / "page.html", **how)

    return show


def sizes_of(trace):
    """The sizes as the page's geometry.js takes them."""
    N, C, H, W = trace.x.shape
    w = trace.windows.window
    filters = len(trace.W) if hasattr(trace, "W") else 0
    names = (
        "N",
        "C",
        "H",
        "W",
        "FN",
        "FH",
        "FW",
        "SH",
        "SW",
        "DH",
        "DW",
        "top",
        "bottom",
        "left",
        "right",
    )
    return dict(zip(names, (N, C, H, W, filters, *w), strict=True))


def by_part(names):
    """Names of cells by the part of the figure that they stand in: {"col": {(0, 1), ...}, ...}."""
    parts = {}
    for part, *place in map(str.split, names):
        parts.setdefault(part, set()).add(tuple(map(int, place)))
    return parts


def found(browser, selector):
    """The cells that a selector finds, by part."""
    names = browser.execute_script(
        "return [...document.querySelectorAll(`#figure ${arguments[0]}`)]"
        ".map((one) => one.dataset.at)",
        selector,
    )
    return by_part(names)


def lit(browser):
    return found(browser, ".lit")


def drawn(browser):
    """All cells there are to light: of a large figure, not all it stands for."""
    return found(browser, "[data-at]")


def point(browser, *name):
    """Point at a cell, without the way of a mouse to it; what is lit then, and what is drawn."""
    pair = browser.execute_script(
        "document.querySelector(`[data-at='${arguments[0]}']`)"
        ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true, pointerType: 'mouse'}));"
        "return ['.lit', '[data-at]'].map((kind) =>"
        "  [...document.querySelectorAll(`#figure ${kind}`)].map((one) => one.dataset.at))",
        " ".join(map(str, name)),
    )
    return map(by_part, pair)


def slide(browser, name, value):
    browser.execute_script(
        "const slider = document.getElementById(`size-${arguments[0]}`);"
        "slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}))",
        name,
        value,
    )
