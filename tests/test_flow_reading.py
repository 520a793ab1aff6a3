"""The page of `pyconv explain network --html`, as a reader points at its pixels."""

import re
from decimal import Decimal

import numpy as np
import pytest
from browser import tap, texts
from flows import IMAGES, RNG, SMALL, canvas_place, choose_channel, framed, hover, mark, reading

import pyconv
from pyconv import explain
from pyconv.explain.network import network
from pyconv.layers import Convolution, Flatten, Pooling
from pyconv.networks import Sequential


def number_after(words, browser):
    text = reading(browser)
    assert words in text
    return float(text.split(words)[1].split()[0].rstrip(".:;").replace("−", "-"))


def test_hovering_a_pixel_of_a_feature_map_shows_its_window_its_filter_and_the_sum(shown):
    browser = shown(SMALL)
    choose_channel(browser, 4)
    for y, x in RNG.integers(0, 12, (5, 2)).tolist():
        hover(browser, 1, y, x)
        value = SMALL["Conv1"].array[0, 4, y, x]
        place = f"Conv1, channel 4, row {y}, column {x}: "
        assert number_after(place, browser) == pytest.approx(value, rel=2e-3, abs=1e-3)
        window = mark(browser, 0)
        assert [window["rows"], window["columns"]] == [[*range(y, y + 5)], [*range(x, x + 5)]]
        assert framed(browser, 0, y, x + 2)
        assert mark(browser, 3)["rows"] == [y // 2]
        W = SMALL["Conv1"].parameters["W1"][4, 0]
        pixels = IMAGES[0, 0, y : y + 5, x : x + 5]
        expected = [f"{v:.2f}".replace("-", "−") for v in (*pixels.flat, *W.flat)]
        cells = browser.execute_script(
            "return [...document.querySelectorAll('.sum td')].map((cell) => cell.textContent)"
        )
        assert cells[:50] == expected
        assert number_after("with the sum ", browser) == pytest.approx(
            (W * pixels).sum(), rel=2e-3, abs=1e-3
        )


def equations(text):
    """Of sums and products as they are printed: what the left comes to, the sign, the right."""
    for left, sign, right in re.findall(r"([−\d.]+ [+×] \(?[−\d.]+\)?) ([=≈]) ([−\d.]+\d)", text):
        a, operator, b = left.replace("−", "-").replace("(", "").replace(")", "").split()
        a, b = Decimal(a), Decimal(b)
        yield a + b if operator == "+" else a * b, sign, Decimal(right.replace("−", "-"))


def test_what_does_not_add_up_as_it_is_printed_is_not_said_to_be_equal(shown):
    browser = shown(SMALL)
    choose_channel(browser, 4)
    said = browser.execute_script(
        "return [...Array(144).keys()].map((k) => {"
        "Object.assign(state, { at: 1, y: Math.floor(k / 12), x: k % 12 });"
        "return explained().text.join(' ') })"
    )
    found = [equation for text in said for equation in equations(text)]
    assert len(found) == 144
    assert all((left == right) == (sign == "=") for left, sign, right in found)
    assert {sign for _, sign, _ in found} == {"=", "≈"}


def test_a_tap_on_a_pooled_pixel_shows_its_window_and_who_won(shown):
    browser = shown(SMALL)
    # A ReLU leaves all of channel 7, and nothing of channel 6, where all are equal.
    for c, (y, x) in zip((7, 7, 7, 6), RNG.integers(0, 6, (4, 2)).tolist(), strict=True):
        choose_channel(browser, c)
        tap(browser, *canvas_place(browser, 3, y, x))
        down, right = divmod(int(SMALL["Pool1"].argmax[0, c, y, x]), 2)
        window = mark(browser, 2)
        assert [window["rows"], window["columns"]] == [[2 * y, 2 * y + 1], [2 * x, 2 * x + 1]]
        assert window["winner"] == [2 * y + down, 2 * x + right]
        wins = f"ow {2 * y + down}, column {2 * x + right} of Relu1"
        said = f"R{wins} wins." if c == 7 else f"Of equal ones the first wins: r{wins}."
        assert said in reading(browser)
        assert framed(browser, 2, 2 * y, 2 * x + 1)
        # From the winner alone it goes on to the digit.
        assert mark(browser, 0)["rows"] == [*range(2 * y + down, 2 * y + down + 5)]
        winner = browser.find_elements("css selector", ".sum .wins")
        assert [cell.text for cell in winner] == [f"{SMALL['Pool1'].array[0, c, y, x]:.2f}"]


def test_a_pixel_of_the_input_tells_in_how_many_windows_it_lies(shown):
    browser = shown(SMALL)
    hover(browser, 0, 0, 3)
    assert "It lies in 4 windows of Conv1." in reading(browser)
    assert mark(browser, 1) == {"rows": [0], "columns": [0, 1, 2, 3], "forward": True}
    hover(browser, 0, 8, 8)
    assert "It lies in 25 windows" in reading(browser)


def test_windows_are_counted_by_the_taps_that_hit_a_pixel(shown):
    W, x = np.ones((2, 1, 3, 3), np.float32), RNG.random((1, 1, 9, 8), np.float32)
    moves = {"stride": (2, 1), "pad": 1, "dilation": 2}
    browser = shown(network(Sequential([Convolution(W, **moves), Flatten()], (1, 9, 8)), x))
    counted = explain.convolution(x, W, **moves)
    for y, column in (0, 0), (4, 3), (7, 3), (8, 7):
        hover(browser, 0, y, column)
        count = len(counted.uses(0, 0, y, column).rows)
        said = "1 window of" if count == 1 else f"{count} windows of"
        assert f"It lies in {said} Conv1." in reading(browser)
        lit = mark(browser, 1)
        assert count == (len(lit["rows"]) * len(lit["columns"]) if lit else 0)
    hover(browser, 1, 1, 2)
    assert mark(browser, 0)["rows"] == [1, 3, 5]
    assert framed(browser, 0, 3, 3)


def test_filters_of_groups_are_shown_with_their_channels(shown):
    x = RNG.random((1, 6, 5, 5), np.float32)
    W = RNG.normal(size=(4, 3, 2, 2)).astype(np.float32)
    depthwise = RNG.normal(size=(4, 1, 2, 2)).astype(np.float32)
    layers = [Convolution(W, groups=2), Convolution(depthwise, groups=4), Flatten()]
    browser = shown(network(Sequential(layers, (6, 5, 5)), x))
    for g, c, read in (0, 3, (3, 6)), (0, 1, (0, 3)), (1, 2, (2, 3)):
        choose_channel(browser, c, g)
        hover(browser, g + 1, 1, 2)
        source = (x, pyconv.conv2d(x, W, groups=2))[g][0, slice(*read), 1:3, 2:4]
        cells = texts(browser, ".sum:not([hidden]) tr:first-child td:first-child")
        expected = [f"{v:.2f}".replace("-", "−") for v in source[:, 0, 0]]
        assert cells[::3] == expected
        products = source * (W, depthwise)[g][c]
        said = browser.find_element("css selector", ".reading:not([hidden])").text
        assert f"gives {products.size} products" in said
        total = float(said.split("the sum ")[1].split()[0].rstrip(".").replace("−", "-"))
        assert total == pytest.approx(products.sum(), rel=2e-3, abs=1e-3)
        channels = f"{read[0]}–{read[1] - 1}" if len(source) > 1 else str(read[0])
        assert f"the channels of its group alone: {channels} of {('Input', 'Conv1')[g]}." in said


ROUNDED_UP = {"pool_h": 4, "pool_w": 4, "stride": 3, "ceil_mode": True}  # 7 beyond a padding of 1


@pytest.mark.parametrize(
    ("pooling", "place", "says", "cell"),
    [
        ({"pad": 1}, 0, ["3, counted as −∞."], "−∞"),
        ({"pad": 1, "mode": "average"}, 0, ["3, not counted."], ""),
        (
            {"pad": 1, "mode": "average", "count_include_pad": True},
            0,
            ["3, counted as 0."],
            "0",
        ),
        ({**ROUNDED_UP, "pool_h": 3, "pool_w": 3, "stride": 2}, 1, ["5, counted as −∞."], "−∞"),
        (
            {**ROUNDED_UP, "pad": 1, "mode": "average", "count_include_pad": True},
            1,
            ["5, counted as 0.", "7, not counted."],
            "",
        ),
    ],
)
def test_places_outside_of_the_image_are_shown_as_what_they_count_as(
    shown, pooling, place, says, cell
):
    layer = Pooling(**{"pool_h": 2, "pool_w": 2, **pooling})
    trace = network(Sequential([layer, Flatten()], (1, 4, 4)), RNG.random((1, 1, 4, 4), np.float32))
    browser = shown(trace)
    hover(browser, 1, place, place)
    found = re.findall(r"Outside of the image: (.*?\.)", reading(browser))
    assert found == says
    cells = texts(browser, ".sum td")
    assert cells[-place] == cell
    numbers = [float(text) for text in cells if text not in ("−∞", "")]
    pooled = max(numbers) if layer.mode == "max" else sum(numbers) / len(numbers)
    assert trace["Pool1"].array[0, 0, place, place] == pytest.approx(pooled, abs=6e-3)


def test_lines_are_drawn_between_windows_that_stand_side_by_side_alone(shown):
    browser = shown(SMALL)
    for dilation, lines in (1, 6), (2, 0):
        drawn = browser.execute_script(
            "let lines = 0; const axis = [2, 2, arguments[0], 0, 0];"
            "drawWinners({ fillRect: () => lines++ }, 16, 8, 8, [axis, axis], []); return lines",
            dilation,
        )
        assert drawn == lines


def test_the_keyboard_goes_from_pixel_to_pixel_and_channel_to_channel(shown):
    from selenium.webdriver import Keys

    browser = shown(SMALL)
    choose_channel(browser, 4)
    hover(browser, 1, 4, 7)
    browser.find_element("id", "map1").send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert reading(browser).startswith("Conv1, channel 4, row 5, column 8:")
    browser.find_element("id", "map1").send_keys(Keys.PAGE_DOWN, Keys.HOME, Keys.ARROW_LEFT)
    assert reading(browser).startswith("Conv1, channel 5, row 5, column 0:")
    # From there, Tab goes to the same place in the next map.
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert reading(browser).startswith("Relu1, channel 5, row 5, column 0:")
    relu = SMALL["Conv1"].array[0, 5, 5, 0], SMALL["Relu1"].array[0, 5, 5, 0]
    assert f"max({relu[0]:.3f}, 0) = {relu[1]:.3f}.".replace("-", "−") in reading(browser)


def said_of_units(browser):
    return browser.find_element("id", "units-reading").text


def test_units_tell_their_numbers(shown):
    browser = shown(SMALL)
    hover(browser, 4, 4, 5)
    value = SMALL["Affine1"].array[0, 29]
    assert said_of_units(browser).startswith(f"Affine1, unit 29: {value:.3f}.".replace("-", "−"))
    assert "numbers of Pool1 times column 29 of W2, added up (+ b2[29])" in said_of_units(browser)


def test_units_lie_in_one_block_that_is_said_to_be_of_one_image(shown):
    browser = shown(SMALL)
    heading = "Affine1 (3,30), 30 units of this image"
    assert texts(browser, "#units h3") == [
        heading, heading.replace("Affine1", "Relu2"), "Affine2 (3,4)", "Softmax (3,4)",
    ]  # fmt: skip
    size = "const { width, height } = document.querySelector(arguments[0]); return [width, height]"
    assert browser.execute_script(size, "#map4") == [6 * 16, 5 * 16]
    assert browser.execute_script(size, "#flow li:nth-child(5) canvas") == [6, 5]


def test_a_score_and_a_probability_tell_what_they_are_made_of(shown):
    from selenium.webdriver import Keys

    browser = shown(SMALL)
    bar = browser.execute_script(
        "const bar = document.querySelectorAll('#units article:nth-child(3) li')[2];"
        "bar.scrollIntoView({ block: 'center' }); return bar.getBoundingClientRect().toJSON()"
    )
    place = {"x": bar["x"] + 5, "y": bar["y"] + 5}
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", **place})
    said = said_of_units(browser)
    scores = SMALL["Affine2"].array[0]
    assert said.startswith(f"Affine2, unit 2: {scores[2]:.3f}.".replace("-", "−"))
    products = SMALL["Relu2"].array[0] * SMALL["Affine2"].parameters["W3"][:, 2]
    most = np.argsort(-np.abs(products))[:3]
    assert [int(k) for k in re.findall(r"Relu2\[(\d+)\]", said)] == most.tolist()
    found = list(equations(said))
    expected = [*products[most], scores[2]]
    np.testing.assert_allclose([float(right) for *_, right in found], expected, atol=6e-4)
    assert all((left == right) == (sign == "=") for left, sign, right in found)
    assert f" With b3[2]: {products.sum():.3f} + ".replace("-", "−") in said
    bars = browser.find_element("css selector", "#units article:nth-child(4) .bars")
    bars.send_keys(Keys.ARROW_DOWN)
    odds = np.exp(scores.astype(float))
    assert said_of_units(browser) == (
        f"Softmax, unit 1: {100 * odds[1] / odds.sum():.1f} %. exp({scores[1]:.3f}) ≈ "
        f"{odds[1]:#.4g}, divided by the sum of exp of every score, {odds.sum():#.4g}."
    ).replace("-", "−")
    # Another image is begun with the score of its answer.
    browser.find_elements("css selector", "#images label")[1].click()
    guess = SMALL["Softmax"].array[1].argmax()
    assert said_of_units(browser).startswith(f"Affine2, unit {guess}: ")
    browser.find_elements("css selector", "#images label")[0].click()
