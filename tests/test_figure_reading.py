"""The page of `pyconv explain conv --html` and `pool --html`, as a reader walks through it."""

import re

import numpy as np
import pytest
from browser import contrast, luminance, scrolls_sideways, tap, texts
from figures import DIGIT, convolution, drawn, found, lit, point, pooling, sizes_of, slide

import pyconv
from pyconv import explain


def test_pointing_with_a_mouse_lights_and_leaving_goes_back(figure):
    from selenium.webdriver import ActionChains

    trace = convolution()
    browser = figure(trace, width=1280)
    product, row = trace["product"].array, [(2, column) for column in range(12)]
    target = browser.find_element("css selector", "#y [data-at='y 0 1 1 0']")
    ActionChains(browser).move_to_element(target).perform()
    lights = lit(browser)
    assert lights["col"] == set(row)
    assert lights["row"] == {(2,)}
    assert lights["product"] == {(2, 1)}
    assert {place[1] for place in lights["x"]} == {0, 1, 2}
    assert {place[2:] for place in lights["x"]} == {(1, 0), (1, 1), (2, 0), (2, 1)}
    reading = browser.find_element("id", "reading").text
    assert reading.startswith(
        "Row 2 is one window. Times filter G, it makes output pixel Y[0,1,1,0]"
    )
    assert re.search(r"D3·G0 \+ D4·G1 \+ D6·G2 \+ D7·G3 \+ D3·G0 .* \+ b\[1\] = ", reading)
    assert reading.endswith(f"= {product[2, 1]:g}".replace("-", "−"))
    ActionChains(browser).move_to_element(browser.find_element("tag name", "h1")).perform()
    assert lit(browser)["product"] == {(0, 0)}


def test_a_sum_in_numbers_comes_to_what_it_says(figure):
    browser = figure(convolution())
    browser.execute_script("document.querySelector('[name=text][value=values]').click()")
    for _ in range(2):
        text = browser.find_element("css selector", ".sum").text.replace("−", "-").replace("·", "*")
        terms, result = text.split(" = ")
        assert eval(terms) == float(result)
        browser.find_element("id", "next").click()
    x = convolution().x
    cells = texts(browser, "#x table:first-child td")
    assert [cell.replace("−", "-") for cell in cells] == [f"{v:g}" for v in x[0, 0].ravel()]
    # Four thirds in three digits: 4·0.333 is not 1.33.
    thirds = explain.convolution(np.full((1, 1, 3, 3), 1 / 3), np.ones((1, 1, 2, 2)))
    browser = figure(thirds)
    browser.execute_script("document.querySelector('[name=text][value=values]').click()")
    assert browser.find_element("css selector", ".sum").text.endswith("0.333·1 ≈ 1.33")
    point(browser, "back", 0, 0, 1, 1)
    assert browser.find_element("id", "reading").text.endswith("4·0.333 ≈ 1.33.")


def test_a_long_sum_is_abridged(figure):
    browser = figure(DIGIT)
    text = browser.find_element("css selector", ".sum").text
    assert re.fullmatch(r"(\S+·F\d \+ ){4}… \+ \S+·F23 \+ \S+·F24 \+ b\[0\] = \S+", text)


def test_the_winner_of_a_window_is_marked(figure):
    trace = pooling(pad=1)
    browser = figure(trace)
    for step in (0, 5):
        browser.execute_script("stepTo(arguments[0])", step)
        winner = int(trace["windows"].marked[step].argmax())
        row, channel = divmod(step, 3)
        place = trace.where(row, channel * 4 + winner)
        lights = found(browser, ".won")
        assert lights["windows"] == {(step, winner)}
        assert lights["x"] == {tuple(place)}
        value = f"{trace['maxima'].array[step]:g}".replace("-", "−")
        reading = browser.find_element("id", "reading").text
        assert re.search(rf"max\(.*\) = D{place.y * 3 + place.x} = {value}$", reading)
    won = {(i, int(trace["windows"].marked[i].argmax())) for i, _ in drawn(browser)["windows"]}
    assert found(browser, ".marked[data-at^='windows']") == {"windows": won}
    # A window of padding alone has no winner.
    alone = pooling(pool=(1, 1), pad=1)
    browser.execute_script("resize(arguments[0])", sizes_of(alone))
    maxima = {place: alone["maxima"].array[place] for place in drawn(browser)["max"]}
    assert not all(map(np.isfinite, maxima.values()))
    assert found(browser, ".marked[data-at^='max']")["max"] == {
        place for place, maximum in maxima.items() if np.isfinite(maximum)
    }


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        ([[1, 2], [2, 0]], "D1 and D2 are equal; the first is taken."),
        ([[5, 5], [5, 5]], "All are equal; the first is taken."),
        ([[1, 2], [3, 0]], "max(D0, D1, D2, D3) = D2 = 3"),
    ],
)
def test_the_first_of_equals_is_said_to_win(figure, x, sentence):
    browser = figure(explain.pooling(np.array([[x]], float), 2, 2))
    assert browser.find_element("id", "reading").text.endswith(sentence)


def test_a_pixel_says_how_many_windows_it_wins(figure):
    trace = pooling(stride=(1, 2), pad=((0, 0), (1, 0)))
    browser = figure(trace)
    won = np.zeros(trace.x.shape, int)
    for i, winner in enumerate(trace["windows"].marked.argmax(axis=1)):
        won[tuple(trace.where(i // 3, i % 3 * 4 + int(winner)))] += 1
    for place in (0, 0, 0, 0), (0, 1, 1, 1), (0, 2, 1, 2):
        point(browser, "x", *place)
        count = len(trace.uses(*place).rows)
        said = f"in {count} window{'s' * (count > 1)} and wins {won[place]}."
        assert browser.find_element("id", "reading").text.endswith(said)


def test_the_slider_and_its_buttons_step_through_the_windows(figure):
    from selenium.webdriver import Keys

    browser = figure(convolution((2, 3, 3, 3)))
    slider = browser.find_element("id", "window")
    assert slider.get_attribute("max") == "7"
    rows = []
    for act in (
        lambda: browser.find_element("id", "next").click(),
        lambda: browser.find_element("id", "next").click(),
        lambda: browser.find_element("id", "previous").click(),
        lambda: slider.send_keys(Keys.END),
        lambda: browser.find_element("id", "next").click(),
    ):
        act()
        rows.append(lit(browser)["row"])
    assert rows == [{(1,)}, {(2,)}, {(1,)}, {(7,)}, {(7,)}]
    assert browser.find_element("id", "place").text == "n = 1, oy = 1, ox = 1"


def test_playing_goes_on_by_itself_and_stops_at_the_end(figure):
    browser = figure(convolution())
    button = browser.find_element("id", "play")
    # The clock of the page runs a hundred times as fast.
    browser.execute_script("const wait = setInterval; setInterval = (f, ms) => wait(f, ms / 100)")
    button.click()
    finished = browser.execute_async_script(
        "const done = arguments[0];"
        "const look = () => (state.playing === null ? done(true) : setTimeout(look, 5)); look()"
    )
    assert finished
    assert lit(browser)["row"] == {(3,)}
    assert button.get_attribute("aria-label") == "Play"


def test_the_keyboard_reaches_everything(figure):
    from selenium.webdriver import ActionChains, Keys

    browser = figure(convolution())
    focused = "return document.activeElement.dataset.at ?? ''"
    press = lambda *keys: ActionChains(browser).send_keys(*keys).perform()  # noqa: E731
    browser.find_element("css selector", "[name=text]:checked").send_keys(Keys.NULL)
    browser.execute_script("document.querySelector('#shapes summary').focus()")
    parts = []
    for _ in range(25):
        press(Keys.TAB)
        if name := browser.execute_script(focused):
            parts.append(name)
    assert parts == [
        *("x 0 0 0 0", "W 0 0", "col 0 0", "col_W 0 0", "product 0 0", "y 0 0 0 0", "back 0 0 0 0")
    ]
    browser.execute_script("document.querySelector('[data-at=\"back 0 0 0 0\"]').focus()")
    press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert browser.execute_script(focused) == "back 0 0 1 1"
    assert lit(browser)["x"] == {(0, 0, 1, 1)}

    browser.execute_script("document.querySelector('[data-at=\"x 0 0 0 0\"]').focus()")
    press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert browser.execute_script(focused) == "x 0 1 1 0"  # across to the next channel
    assert lit(browser)["x"] == {(0, 1, 1, 0)}
    label = browser.switch_to.active_element.get_attribute("aria-label")
    assert label.startswith("D3 = ")
    assert "channel 1, row 1, column 0" in label
    assert "D3 of channel 1 is in 2 windows" in browser.find_element("id", "reading").text

    browser.execute_script("document.querySelector('[data-at=\"col 0 0\"]').focus()")
    press(Keys.END, Keys.ARROW_DOWN)
    assert browser.execute_script(focused) == "col 1 11"
    press(Keys.HOME)
    assert browser.execute_script(focused) == "row 1"
    assert browser.find_element("id", "window").get_attribute("value") == "1"
    press(Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_UP)
    assert browser.execute_script(focused) == "column 0"
    assert lit(browser)["col"] == {(row, 0) for row in range(4)}


def test_arrows_walk_through_a_matrix_that_is_abridged(figure):
    from selenium.webdriver import ActionChains, Keys

    browser = figure(DIGIT)
    assert len(browser.find_elements("css selector", "td")) < 4000
    browser.execute_script("document.querySelector('[data-at=\"col 0 0\"]').focus()")
    for key, name in (
        (Keys.ARROW_DOWN, "col 1 0"),
        (Keys.PAGE_DOWN, "col 575 0"),
        (Keys.ARROW_UP, "col 574 0"),
        (Keys.ARROW_UP, "col 573 0"),
    ):
        ActionChains(browser).send_keys(key).perform()
        assert browser.execute_script("return document.activeElement.dataset.at") == name
    assert {(573, column) for column in range(25)} <= drawn(browser)["col"]


def test_the_copies_of_a_pixel_come_into_view(figure):
    browser = figure(DIGIT)
    uses = set(zip(*map(list, DIGIT.uses(0, 0, 9, 19)), strict=True))
    assert len(uses) == 25
    lights, all_ = point(browser, "x", 0, 0, 9, 19)
    assert lights["col"] == uses & all_["col"]
    assert len(lights["col"]) >= 9


def test_a_cell_keeps_the_focus_while_a_mouse_points_elsewhere(figure):
    browser = figure(DIGIT)
    browser.execute_script("document.querySelector('[data-at=\"col 301 3\"]').focus()")
    lights, _ = point(browser, "x", 0, 0, 9, 19)
    assert lights["x"] == {(0, 0, 9, 19)}
    assert browser.execute_script("return document.activeElement.dataset.at") == "col 301 3"


def test_every_window_of_a_large_image_can_be_seen(figure):
    trace = pooling((2, 1, 70, 80))
    browser = figure(trace)
    rows = len(trace["col"].array)
    for step in (0, rows // 2 + 70, rows - 1):
        browser.execute_script("stepTo(arguments[0])", step)
        lights = lit(browser)
        n, place = divmod(step, rows // len(trace.x))
        (y,) = lights["y"]
        assert y == (n, 0, *divmod(place, trace["y"].shape[3]))
        assert len(lights["x"]) == 4
        assert step in {row for row, _ in lights["col"]}
    assert rows > len(drawn(browser)["y"])


def test_a_tap_lights(figure):
    browser = figure(convolution(), width=360)
    target = browser.find_element("css selector", "[data-at='col 3 1']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", target)
    box = browser.execute_script("return arguments[0].getBoundingClientRect()", target)
    tap(browser, box["x"] + 9, box["y"] + 9)
    lights = lit(browser)
    assert lights["col"] == {(3, 1)}
    assert lights["x"] == {(0, 0, 1, 2)}
    assert lights["W"] == {(0, 1), (1, 1)}
    assert {(3, column) for column in range(12)} - {(3, 1)} <= found(browser, ".near")["col"]
    # As a screen reader does it: a click without touch or mouse.
    browser.execute_script("document.querySelector('[data-at=\"y 0 1 0 1\"]').click()")
    assert lit(browser)["product"] == {(1, 1)}
    # What it lights elsewhere is in view on small maps: its window, its row and itself.
    maps = browser.execute_script(
        "return [...document.querySelectorAll('#maps svg')].map((map) => {"
        "  const { top, bottom } = map.getBoundingClientRect();"
        "  return [top >= 0 && bottom <= innerHeight,"
        "    map.querySelector('.lit').getAttribute('d').match(/M[\\d ]+h\\d+/g)] })"
    )
    window = ["M1 0h1", "M2 0h1", "M1 1h1", "M2 1h1"]
    row = ["M0 1h12", *(f"M{column} 1h1" for column in range(12))]
    assert maps == [[True, window], [True, row], [True, ["M1 0h1"]]]


def test_sliders_change_the_shapes_and_the_rules_that_made_them(figure):
    browser = figure(convolution())
    for name, value in ("N", 2), ("H", 5), ("stride", 2), ("pad", 1), ("FN", 4), ("dilation", 2):
        slide(browser, name, value)
    assert texts(browser, "#sizes p") == [
        "OH = ⌊(H + 2·P − ((FH − 1)·2 + 1)) / S⌋ + 1 = (5 + 2 − 3) / 2 + 1 = 3",
        "OW = ⌊(W + 2·P − ((FW − 1)·2 + 1)) / S⌋ + 1 = (3 + 2 − 3) / 2 + 1 = 2",
    ]
    assert texts(browser, "#col code") == ["col = im2col(x, FH, FW, stride, pad, dilation)"]
    assert texts(browser, ".shape") == [
        "(2, 3, 5, 3) = (N, C, H, W)",
        "(4, 3, 2, 2) = (FN, C, FH, FW)",
        "(12, 12) = (N·OH·OW, C·FH·FW) = (2·3·2, 3·2·2)",
        "(12, 4) = (C·FH·FW, FN)",
        "(12, 4) = (N·OH·OW, FN)",
        "(2, 4, 3, 2) = (N, FN, OH, OW)",
        "(12, 12) → (2, 3, 5, 3) = (N, C, H, W)",
    ]
    slide(browser, "H", 6)
    assert "⌊(6 + 2 − 3) / 2⌋ + 1 = 3" in texts(browser, "#sizes p")[0]
    # What was given is still there, and the page says that it added to it.
    first = browser.execute_script("return state.m.pixel({n: 0, c: 2, y: 2, x: 2})")
    assert first == convolution().x[0, 2, 2, 2]
    assert browser.find_element("id", "made_up").is_displayed()
    browser.find_element("id", "reset").click()
    assert texts(browser, ".shape")[0] == "(1, 3, 3, 3) = (N, C, H, W)"
    assert texts(browser, "#col code") == ["col = im2col(x, FH, FW, stride, pad)"]
    assert not browser.find_element("id", "made_up").is_displayed()


@pytest.mark.parametrize(
    "trace", [convolution(), pooling(stride=(1, 2), pad=((0, 1), (0, 0)))], ids=["conv", "pool"]
)
def test_a_window_that_does_not_fit_gets_the_sentence_of_the_kernels(figure, trace):
    browser = figure(trace)
    before = texts(browser, "#figure")
    # Padding that is not the same on all sides is said side by side.
    even = hasattr(trace, "W")
    assert browser.find_element("id", "value-pad").text == ("0" if even else "0,1,0,0")
    slide(browser, "FH" if hasattr(trace, "W") else "PH", 3)
    slide(browser, "dilation", 3)
    problem = browser.find_element("id", "problem")
    w = trace.windows.window._replace(filter_h=3, dilation_h=3, dilation_w=3)
    with pytest.raises(ValueError, match="the window reaches over") as error:
        pyconv.im2col(trace.x, w.filter_h, w.filter_w, *w.arguments)
    assert problem.text == str(error.value)
    # The figure is the last one that could be drawn, and a size that fits draws the next.
    assert texts(browser, "#figure") != before
    assert "3·2" in texts(browser, "#col .shape")[0]
    outdated = browser.find_element("id", "outdated")
    opacity = "return getComputedStyle(document.getElementById('figure')).opacity"
    assert outdated.is_displayed()
    assert browser.execute_script(opacity) < "0.5"
    slide(browser, "dilation", 1)
    assert not problem.is_displayed()
    assert not outdated.is_displayed()
    assert browser.execute_script(opacity) == "1"


@pytest.mark.parametrize(
    "trace",
    [convolution((2, 3, 4, 4), pad=1), pooling((2, 4, 4, 4)), DIGIT],
    ids=["conv", "pool", "digit"],
)
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_a_phone_scrolls_the_tables_and_not_the_page(figure, trace, lang):
    browser = figure(trace, lang, width=360)
    browser.execute_script("document.getElementById('shapes').open = true")
    assert not scrolls_sideways(browser)
    table, seen = browser.execute_script(
        "const tables = document.querySelector('#col .tables');"
        "return [tables.scrollWidth, tables.clientWidth]"
    )
    assert table > seen
    # What is lit is brought into view.
    browser.execute_script("document.querySelector(`[data-at^='column ']:last-of-type`).focus()")
    assert browser.execute_script("return document.querySelector('#col .tables').scrollLeft") > 0
    assert not scrolls_sideways(browser)


@pytest.mark.parametrize("trace", [convolution(), pooling(pad=1)], ids=["conv", "pool"])
def test_the_korean_page_speaks_korean(figure, trace):
    browser = figure(trace, "ko")
    for name in ("x 0 0 1 1", "col 0 0", "column 0", "row 1", "y 0 0 1 1"):
        point(browser, *name.split())
        reading = browser.find_element("id", "reading").text
        assert re.search("[가-힣]", reading)
        assert not re.search(r"\{|undefined|NaN", reading)
    seen = browser.execute_script(
        "document.querySelectorAll('code, script, style').forEach((one) => one.remove());"
        "const labels = [...document.querySelectorAll('[aria-label]')]"
        "  .map((one) => one.getAttribute('aria-label'));"
        "return [document.body.innerText, ...labels].join(' ')"
    )
    left = set(re.findall("[A-Za-z]{3,}", re.sub("im2col|col2im", "", seen)))
    assert left <= {"pyconv", "explain", "conv", "pool", "Tab", "max", "col", "dilation"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast(figure, scheme):
    browser = figure(convolution((1, 4, 3, 3), (2, 4, 2, 2)), scheme=scheme)
    assert (luminance(browser, "body", "backgroundColor") < 0.1) == (scheme == "dark")
    for text in ("h1", ".lead", "figcaption p", "code", "th", "#figure caption"):
        assert contrast(browser, text, "color", "body") >= 4.5, text
    for channel in range(4):
        for kind in (".lit", ":not(.lit):not(.near)"):
            cell = f"#x td.channel{channel}{kind}"
            assert contrast(browser, cell, "color", cell) >= 4.5, cell


def test_channels_are_told_apart_without_colour_too(figure):
    browser = figure(convolution((1, 4, 3, 3), (2, 4, 2, 2)))
    lines = browser.execute_script(
        "return [0, 1, 2, 3].map((c) =>"
        "  getComputedStyle(document.querySelector(`#col td.channel${c}`)).borderBottomStyle)"
    )
    assert len(set(lines)) == 4
    assert texts(browser, "#col .group") == [f"channel {c}" for c in range(4)]


def test_nothing_moves_where_motion_is_not_wanted(figure):
    browser = figure(convolution())
    style = "return getComputedStyle(document.querySelector('#x td')).transitionDuration"
    assert browser.execute_script(style) != "0s"
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": still})
    assert browser.execute_script(style) == "0s"
