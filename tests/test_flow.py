"""The page of `pyconv explain network --html`: the file, and what a browser shows of it."""

import base64
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from browser import Page, asks_nobody, contrast, luminance, scrolls_sideways, texts
from flows import FEW, IMAGES, RNG, SMALL, framed, hover, mark, reading, simple
from trainings import deep

from pyconv.explain.flow import write_flow
from pyconv.explain.network import network
from pyconv.layers import Affine, BatchNormalization, Convolution, Flatten, Pooling, Relu, Sigmoid
from pyconv.networks import Sequential

WORDS = json.loads(files("pyconv.explain.flow").joinpath("words.json").read_text("utf-8"))
SIMPLE = network(simple(), RNG.random((3, 1, 28, 28), np.float32))


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


def values(browser, n, i):
    """The page's numbers of a step, bit for bit."""
    held = browser.execute_script(
        "const bytes = new Uint8Array(arrays(arguments[0]).values[arguments[1]].slice().buffer);"
        "return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ''))", n, i
    )  # fmt: skip
    return np.frombuffer(base64.b64decode(held), np.float32)


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


def test_a_channel_without_anything_is_said_to_be_nought(shown):
    W = RNG.random((2, 1, 3, 3), np.float32)
    layers = [Convolution(W, np.array([0, -99], np.float32)), Relu(), Flatten()]
    browser = shown(network(Sequential(layers, (1, 6, 6)), RNG.random((1, 1, 6, 6), np.float32)))
    captions = ["6×6", "channel 0, 4×4", "channel 0, 4×4"]
    assert texts(browser, "figcaption span") == captions
    cards = browser.find_elements("css selector", ".cards [role=radio]")
    names = [card.get_attribute("aria-label") for card in cards]
    assert names == ["Channel 0", "Channel 1, Relu1: 0 everywhere"]
    cards[1].click()
    assert texts(browser, "figcaption span")[1:] == [
        "channel 1, 4×4", "channel 1, 4×4, 0 everywhere",
    ]  # fmt: skip
    inked = "return [...document.getElementById('map2').getContext('2d')"
    inked += ".getImageData(28, 20, 8, 24).data].some((part, k) => k % 4 < 3 && part < 200)"
    assert browser.execute_script(inked)  # the nought


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


def test_deep_networks_and_one_s_own_are_shown_too(shown):
    made = deep(0)
    browser = shown(network(made, RNG.random((1, 1, 8, 8), np.float32)), width=360)
    assert not scrolls_sideways(browser)
    assert len(texts(browser, "#flow li")) == len(made.layers) + 2
    assert texts(browser, "#maps h2")[1] == "Conv2 → Relu2 → Pool1"
    stage = browser.find_elements("css selector", ".stage")[1]
    captions = [one.text for one in stage.find_elements("css selector", "figcaption strong")]
    assert captions == ["Relu1", "Conv2", "Relu2", "Pool1"]  # with what the first is made of
    browser.execute_script("Object.assign(state, { at: 3, y: 2, x: 4 }); drawMaps()")
    assert mark(browser, 2)["rows"] == [1, 2, 3]
    assert framed(browser, 2, 1, 4, "from3")
    browser = shown(network(own(), RNG.random((1, 3, 12, 14), np.float32)))
    hover(browser, 1, 0, 0)  # its window hangs over the edge
    assert "gives 27 products" in reading(browser)
    assert "Outside of the image: 15, counted as 0." in reading(browser)
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
    stages = browser.execute_script(
        "return [...document.querySelectorAll('.stage')].map((stage) =>"
        "[...stage.querySelectorAll('canvas')].map((map) => [map.width, map.offsetWidth]))"
    )
    for maps in stages:  # those of one size are of one width
        assert len({width for width, _ in maps}) == len({tuple(one) for one in maps})
    # The reading, which stays in view, covers no rules.
    tops = browser.execute_script(
        "document.querySelector('.rules').scrollIntoView({ block: 'end' });"
        "return ['.stage', '.reading'].map((one) =>"
        "document.querySelector(one).getBoundingClientRect().top)"
    )
    assert tops[0] < tops[1]
