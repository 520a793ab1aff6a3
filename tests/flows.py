"""What the tests of the network's page share: networks, the page in a browser, and its maps."""

import numpy as np
import pytest

from pyconv.explain.flow import write_flow
from pyconv.explain.network import network
from pyconv.networks import SimpleConvNet

RNG = np.random.default_rng(7)


def simple(**smaller):
    """A SimpleConvNet with weights large enough, and biases, for every layer to have its say."""
    made = SimpleConvNet(rng=1, weight_init_std=0.1, **smaller)
    for name in ("b1", "b2", "b3"):
        made.params[name] = RNG.normal(0, 0.3, made.params[name].shape).astype(np.float32)
    return made


# Opens faster: maps of 12×12, 6×6 and 6×6 pixels of 8 channels, 30 hidden units, 4 classes.
FEW = {
    "input_dim": (1, 16, 16),
    "conv_param": {"filter_num": 8},
    "hidden_size": 30,
    "output_size": 4,
}
IMAGES = RNG.random((3, 1, 16, 16), np.float32)
SMALL = network(simple(**FEW), IMAGES)


@pytest.fixture(scope="session")
def flow_pages(tmp_path_factory):
    """Files of the pages that tests open, one for each that differs."""
    folder, files_of = tmp_path_factory.mktemp("pages"), {}

    def page(trace, **more):
        key = (id(trace), str(more))
        if key not in files_of:
            files_of[key] = folder / f"{len(files_of)}.html"
            write_flow(trace, files_of[key], **more)
        return files_of[key]

    return page


last = []  # what the test before this one has opened, and may have left as it is


@pytest.fixture
def shown(opened, browser, flow_pages):
    """Open the page of a trace, or go on where the test before has left it."""

    def show(trace, *, width=1100, scheme="light", **more):
        page = flow_pages(trace, **more)
        wanted = [page.as_uri(), width, scheme]
        if [browser.current_url, *last] != wanted:
            opened(page, width=width, scheme=scheme)
        last[:] = [width, scheme]
        return browser

    return show


def canvas_place(browser, i, y, x):
    """Where on the screen the middle of a pixel of a map is, scrolled there."""
    return browser.execute_script(
        "const [i, y, x] = arguments, canvas = document.getElementById(`map${i}`);"
        "canvas.scrollIntoView({block: 'center'});"
        "const { left, top, width, height } = canvas.getBoundingClientRect();"
        "const across = steps[i].channels ? sizes[i][2] : canvas.width / 16;"
        "const down = steps[i].channels ? sizes[i][1] : canvas.height / 16;"
        "return [left + (x + 0.5) * width / across, top + (y + 0.5) * height / down]", i, y, x
    )  # fmt: skip


def hover(browser, i, y, x):
    place = dict(zip("xy", canvas_place(browser, i, y, x), strict=True))
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", **place})


def choose_channel(browser, c, g=0):
    browser.execute_script(
        "const slider = document.getElementById(`channel${arguments[0]}`);"
        "slider.value = arguments[1]; slider.dispatchEvent(new Event('input'))", g, c
    )  # fmt: skip


def reading(browser):
    return browser.execute_script(
        "return document.querySelector('.reading:not([hidden])').textContent"
    )


def mark(browser, i):
    return browser.execute_script(f"return marks[{i}]")


def framed(browser, i, y, x, canvas=None):
    """Whether the upper left corner of a pixel of a map has the colour of frames."""
    return browser.execute_script(
        "const [i, y, x, id] = arguments, cell = cellOf(sizes[i][1], sizes[i][2]);"
        "const copy = new OffscreenCanvas(1, 1).getContext('2d');"
        "copy.drawImage(document.getElementById(id), -x * cell, -y * cell - 1);"
        "const [r, g, b] = copy.getImageData(0, 0, 1, 1).data;"
        "return `${[r, g, b]}` === `${colours.mark}`", i, y, x, canvas or f"map{i}"
    )  # fmt: skip
