"""The page of `pyconv explain network --html`: the file, and what a browser shows and does."""

import base64
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from browser import Page, asks_nobody, contrast, luminance, scrolls_sideways, tap, texts
from trainings import deep

import pyconv
from pyconv import explain
from pyconv.explain.flow import write_flow
from pyconv.explain.network import network
from pyconv.layers import Affine, BatchNormalization, Convolution, Flatten, Pooling, Relu, Sigmoid
from pyconv.networks import Sequential, SimpleConvNet

RNG = np.random.default_rng(7)
WORDS = json.loads(files("pyconv.explain.flow").joinpath("words.json").read_text("utf-8"))


def simple(**smaller):
    """A SimpleConvNet with weights large enough, and biases, for every layer to have its say."""
    made = SimpleConvNet(rng=1, weight_init_std=0.1, **smaller)
    for name in ("b1", "b2", "b3"):
        made.params[name] = RNG.normal(0, 0.3, made.params[name].shape).astype(np.float32)
    return made


SIMPLE = network(simple(), RNG.random((3, 1, 28, 28), np.float32))
# Opens faster: maps of 12×12, 6×6 and 6×6 pixels of 8 channels, 30 hidden units, 4 classes.
FEW = {
    "input_dim": (1, 16, 16),
    "conv_param": {"filter_num": 8},
    "hidden_size": 30,
    "output_size": 4,
}
IMAGES = RNG.random((3, 1, 16, 16), np.float32)
SMALL = network(simple(**FEW), IMAGES)


def own():
    """A network of one's own: three colours, padding, stride, average pooling, other layers."""

    def array(*shape):
        return RNG.normal(0, 0.3, shape).astype(np.float32)

    layers = [
        Convolution(array(4, 3, 3, 3), array(4), stride=2, pad=1),
        BatchNormalization(np.ones(4, np.float32), np.zeros(4, np.float32)),
        Sigmoid(),
        Pooling(3, 3, stride=1, mode="average"),
        Convolution(array(6, 2, 2, 2), dilation=2, groups=2),
        Relu(),
        Pooling(2, 2, stride=2, pad=1),
        Flatten(),
        Affine(array(24, 30)),
        Affine(array(30, 3)),
    ]
    return Sequential(layers, (3, 12, 14), "My <b>net</b>")


@pytest.fixture
def written(tmp_path):
    def write(trace, **more):
        write_flow(trace, tmp_path / "page.html", **more)
        return (tmp_path / "page.html").read_text("utf-8")

    return write


def data_of(text):
    return json.loads(Page(text).texts["data"])


# The file


def test_both_languages_have_the_same_words_with_the_same_places():
    assert WORDS["en"].keys() == WORDS["ko"].keys()
    for key, english in WORDS["en"].items():
        korean = WORDS["ko"][key]
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", korean)), (
            key
        )
        assert korean != english or not re.search("[A-Za-z]{4}", english), key


def test_the_page_asks_nobody_for_anything(written):
    asks_nobody(written(SIMPLE))


def test_the_page_is_small(written):
    many = network(simple(), RNG.random((9, 1, 28, 28), np.float32))
    text = written(many)
    assert len(text.encode()) < 600_000
    assert 2 <= len(data_of(text)["samples"]) < 9


def test_a_name_does_not_break_out_of_the_page(written):
    trace = network(own(), RNG.random((1, 3, 12, 14), np.float32))
    text = written(trace, note="</script><i>&")
    assert "<b>" not in text
    assert "<i>" not in text
    assert Page(text).texts["title"].startswith("My <b>net</b>")


def test_large_layers_are_abridged(written):
    filters = RNG.normal(size=(32, 1, 3, 3)).astype(np.float32)
    wide = Sequential([Convolution(filters, pad=1), Relu(), Flatten(), Affine(
        np.zeros((32 * 60 * 60, 2), np.float32))], (1, 60, 60))  # fmt: skip
    steps = data_of(written(network(wide, RNG.random((1, 1, 60, 60), np.float32))))["steps"]
    assert [step["channels"] for step in steps] == [1, 5, 5, None, None, None]
    assert steps[3]["units"] == 20_000


def test_what_cannot_be_written_leaves_the_old_page(tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_text("before")

    def fail(path, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(target), "write_text", fail)
    with pytest.raises(OSError, match="No space left"):
        write_flow(SIMPLE, target)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


# In a browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
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
def shown(opened, browser, pages):
    """Open the page of a trace, or go on where the test before has left it."""

    def show(trace, *, width=1100, scheme="light", **more):
        page = pages(trace, **more)
        wanted = [page.as_uri(), width, scheme]
        if [browser.current_url, *last] != wanted:
            opened(page, width=width, scheme=scheme)
        last[:] = [width, scheme]
        return browser

    return show


def values(browser, n, i):
    """The page's numbers of a step, bit for bit."""
    held = browser.execute_script(
        "const bytes = new Uint8Array(arrays(arguments[0]).values[arguments[1]].slice().buffer);"
        "return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ''))", n, i
    )  # fmt: skip
    return np.frombuffer(base64.b64decode(held), np.float32)


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


def framed(browser, i, y, x):
    """Whether the upper left corner of a pixel of a map has the colour of frames."""
    return browser.execute_script(
        "const [i, y, x] = arguments, cell = cellOf(sizes[i][1], sizes[i][2]);"
        "const copy = new OffscreenCanvas(1, 1).getContext('2d');"
        "copy.drawImage(document.getElementById(`map${i}`), -x * cell, -y * cell - 1);"
        "const [r, g, b] = copy.getImageData(0, 0, 1, 1).data;"
        "return `${[r, g, b]}` === `${colours.mark}`", i, y, x
    )  # fmt: skip


def test_the_numbers_in_the_page_are_the_trace_s(shown):
    for trace in (SIMPLE, network(own(), RNG.random((2, 3, 12, 14), np.float32))):
        browser = shown(trace)
        for n in range(2):
            for i, step in enumerate(trace):
                np.testing.assert_array_equal(values(browser, n, i), step.array[n].ravel())


def test_the_flow_has_every_layer_with_its_shape_and_parameters(shown):
    browser = shown(SIMPLE)
    assert texts(browser, "#flow li") == [
        "Input\n(3,1,28,28)",
        "Conv1\n(3,30,24,24)\nW1, b1",
        "Relu1\n(3,30,24,24)",
        "Pool1\n(3,30,12,12)",
        "Affine1\n(3,100)\nW2, b2",
        "Relu2\n(3,100)",
        "Affine2\n(3,10)\nW3, b3",
        "Softmax\n(3,10)",
    ]
    assert texts(browser, ".rules dd") == [step.rule for step in SIMPLE]


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
        assert number_after("their sum is ", browser) == pytest.approx(
            (W * pixels).sum(), rel=2e-3, abs=1e-3
        )


def test_a_tap_on_a_pooled_pixel_shows_its_window_and_who_won(shown):
    browser = shown(SMALL)
    choose_channel(browser, 6)
    for y, x in RNG.integers(0, 6, (4, 2)).tolist():
        tap(browser, *canvas_place(browser, 3, y, x))
        down, right = divmod(int(SMALL["Pool1"].argmax[0, 6, y, x]), 2)
        window = mark(browser, 2)
        assert [window["rows"], window["columns"]] == [[2 * y, 2 * y + 1], [2 * x, 2 * x + 1]]
        assert window["winner"] == [2 * y + down, 2 * x + right]
        assert f"Row {2 * y + down}, column {2 * x + right} of Relu1 wins." in reading(browser)
        assert framed(browser, 2, 2 * y, 2 * x + 1)
        # From the winner alone it goes on to the digit.
        assert mark(browser, 0)["rows"] == [*range(2 * y + down, 2 * y + down + 5)]
        winner = browser.find_elements("css selector", ".sum .wins")
        assert [cell.text for cell in winner] == [f"{SMALL['Pool1'].array[0, 6, y, x]:.2f}"]


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
        assert f"are {products.size} products" in said
        total = float(said.split("sum is ")[1].split()[0].rstrip(".").replace("−", "-"))
        assert total == pytest.approx(products.sum(), rel=2e-3, abs=1e-3)
        channels = f"{read[0]}–{read[1] - 1}" if len(source) > 1 else str(read[0])
        assert f"the channels of its group alone: {channels} of {('Input', 'Conv1')[g]}." in said


@pytest.mark.parametrize(
    ("pooling", "says", "cell"),
    [
        ({"pad": 1}, "Padding among them: 3; it counts as −∞ and never wins.", "−∞"),
        ({"pad": 1, "mode": "average"}, "Outside of the image: 3, which do not count.", ""),
        (
            {"pad": 1, "mode": "average", "count_include_pad": True},
            "Padding among them: 3, and it counts as 0.",
            "0",
        ),
    ],
)
def test_padding_of_a_pooling_is_shown_as_what_it_counts_as(shown, pooling, says, cell):
    x = RNG.random((1, 1, 4, 4), np.float32)
    trace = network(Sequential([Pooling(2, 2, **pooling), Flatten()], (1, 4, 4)), x)
    browser = shown(trace)
    hover(browser, 1, 0, 0)
    assert says in reading(browser)
    assert texts(browser, ".sum td")[0] == cell
    listed = reading(browser).split(" of ")[1].split(":")[0].split(", ")
    assert len(listed) == (4 if cell else 1)
    numbers = [float(text) for text in listed if text != "−∞"]
    mean = sum(numbers) / len(numbers)
    assert mean == pytest.approx(float(trace["Pool1"].array[0, 0, 0, 0]), abs=1e-3) or cell == "−∞"


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


def test_a_channel_is_chosen_in_every_row_at_once(shown):
    from selenium.webdriver import Keys

    browser = shown(SMALL)
    cards = browser.find_elements("css selector", ".cards [role=radio]")
    assert len(cards) == 8
    cards[2].click()
    assert texts(browser, "figcaption span") == [
        "16×16", "channel 2, 12×12", "channel 2, 12×12", "channel 2, 6×6",
    ]  # fmt: skip
    cards[2].send_keys(Keys.ARROW_RIGHT)
    checked = "return [...document.querySelectorAll('.cards [aria-checked=true]')]"
    assert browser.execute_script(checked) == [cards[3]]
    assert browser.switch_to.active_element == cards[3]
    assert texts(browser, ".channel output") == ["Channel 3"]
    assert len(cards[0].find_elements("css selector", "canvas")) == 4  # filter, Conv, ReLU, Pool


def test_another_image_is_chosen(shown):
    guesses = SMALL["Softmax"].array.argmax(axis=1)
    browser = shown(SMALL, labels=[int(guesses[0]), int(guesses[1]) + 1, 0])
    answer = browser.find_element("id", "answer")
    assert answer.text.endswith("That is right.")
    assert f"The network says {guesses[0]}, " in answer.text
    browser.find_elements("css selector", "#images label")[1].click()
    assert answer.text.endswith(f"It is {guesses[1] + 1}.")
    percents = [float(text.split()[-2]) for text in texts(browser, "#units article:last-child li")]
    np.testing.assert_allclose(percents, 100 * SMALL["Softmax"].array[1], atol=0.051)
    hover(browser, 1, 3, 3)
    value = SMALL["Conv1"].array[1, browser.execute_script("return chosen[0]"), 3, 3]
    assert f"row 3, column 3: {value:.3f}.".replace("-", "−") in reading(browser)


def test_units_tell_their_numbers(shown):
    browser = shown(SMALL)
    hover(browser, 4, 1, 4)
    value = SMALL["Affine1"].array[0, 29]
    said = browser.find_element("id", "units-reading").text
    assert said.startswith(f"Affine1, unit 29: {value:.3f}.".replace("-", "−"))
    assert "288 numbers of Pool1 times column 29 of W2" in said


def test_deep_networks_and_one_s_own_are_shown_too(shown):
    made = deep(0)
    browser = shown(network(made, RNG.random((1, 1, 8, 8), np.float32)), width=360)
    assert not scrolls_sideways(browser)
    assert len(texts(browser, "#flow li")) == len(made.layers) + 2
    assert texts(browser, "#maps h2")[1] == "Conv2 → Relu2 → Pool1"
    browser = shown(network(own(), RNG.random((1, 3, 12, 14), np.float32)))
    hover(browser, 1, 0, 0)  # its window hangs over the edge
    assert "are 27 products" in reading(browser)
    assert "Padding among them: 15, and it counts as 0." in reading(browser)
    assert len(browser.find_elements("css selector", ".sum table")) == 9
    hover(browser, 4, 1, 1)
    assert "The mean of " in reading(browser)
    hover(browser, 5, 0, 0)
    assert mark(browser, 4)["rows"] == [0, 2]  # two taps of dilation 2
    vectors = Sequential([Affine(np.eye(3, dtype=np.float32))], (3,))
    browser = shown(network(vectors, np.ones((2, 3), np.float32)))
    assert texts(browser, "#units h3") == ["Input (2,3)", "Affine1 (2,3)", "Softmax (2,3)"]


def test_korean_is_korean(shown):
    browser = shown(network(simple(**FEW), IMAGES[:1], "ko"))
    assert browser.execute_script("return document.documentElement.lang") == "ko"
    hover(browser, 3, 2, 2)
    shown_text = browser.execute_script(
        "const labelled = [...document.querySelectorAll('[aria-label]')];"
        "return [document.body.innerText, ...labelled.map((one) => one.ariaLabel)].join(' ')"
    )
    names = r"SimpleConvNet|Input|Conv\d|Relu\d|Pool\d|Affine\d|Softmax|pyconv explain network"
    left = re.sub(names + "|Page Up|Page Down|max|exp", "", shown_text)
    assert not re.search("[A-Za-z]{4}", left)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast(shown, scheme):
    browser = shown(SMALL, scheme=scheme)
    assert (luminance(browser, "body", "backgroundColor") < 0.1) == (scheme == "dark")
    for text in ("h1", "#about", "#flow .acts", ".rules small", "figcaption span", ".bars b"):
        assert contrast(browser, text, "color", "body") >= 4.5, text
    assert contrast(browser, ".track .above", "backgroundColor", "body") >= 3
    assert contrast(browser, ".track .below", "borderTopColor", "body") >= 3
    assert contrast(browser, ".cards [aria-checked=true]", "borderTopColor", "body") >= 3


@pytest.mark.parametrize("make", [simple, own])
def test_a_phone_does_not_scroll_sideways(shown, make):
    made = make()
    browser = shown(network(made, RNG.random((2, *made.input_dim), np.float32)), width=360)
    assert not scrolls_sideways(browser)
