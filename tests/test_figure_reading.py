"""The page of `pyconv explain conv --html` and `pool --html`, as a reader walks through it."""

import re

import numpy as np
import pytest
from browser import tap, texts
from figures import DIGIT, convolution, drawn, found, lit, point, pooling, sizes_of

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
    first = trace["col"].array[2, :2], trace["col_W"].array[:2, 1]
    numbers = [f"{v:g}" if v >= 0 else f"({v:g})".replace("-", "−") for v in np.ravel(first, "F")]
    assert " = {}·{} + {}·{} + … + ".format(*numbers) in reading
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


def test_what_is_left_out_of_a_large_figure_is_marked(figure):
    browser = figure(DIGIT)
    for part, title in ("W", "F[{},0,:,:]"), ("y", "Y[0,{},:,:]"):
        marks = texts(browser, f"#{part} :is(caption, div.gap)")
        assert marks == [title.format(0), title.format(1), "⋯", title.format(29)]
    assert browser.find_element("id", "shades").is_displayed()
    text = browser.find_element("css selector", ".sum").text
    names, numbers, result = text.split(" = ")
    assert re.fullmatch(r"(\S+·F\d \+ ){4}… \+ \S+·F23 \+ \S+·F24 \+ b\[0\]", names)
    assert re.fullmatch(r"(\S+·\S+ \+ ){2}… \+ \S+·\S+ \+ \S+", numbers)
    assert result == f"{DIGIT['product'].array[12 * 24 + 12, 0]:g}"


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


def test_a_pixel_says_what_col2im_gives_back(figure):
    x = np.arange(36.0).reshape(1, 1, 6, 6) - 7
    browser = figure(explain.convolution(x, np.ones((1, 1, 2, 2)), stride=3))

    def said(y, x):
        point(browser, "x", 0, 0, y, x)
        return browser.find_element("id", "reading").text.partition(" is in ")[2]

    assert said(0, 2) == "no window: they step over it. col2im(im2col(x)) has a 0 there."
    for past in (0, 5), (5, 2):
        assert said(*past).startswith("no window: it comes after the last one; no more fit")
    assert said(1, 0).startswith("one window alone: the matrix holds it once")
    note = browser.find_element("css selector", "#back figcaption").text
    browser.execute_script("resize({...given.sizes, SH: 1, SW: 1})")
    assert said(1, 2).endswith("col2im(im2col(x)) adds up these copies: 4·1 = 4.")
    assert said(1, 1).endswith("4·0 = 0.")  # which is x again
    assert note.endswith("It undoes im2col only where every count is 1.")


def test_the_slider_and_its_buttons_step_through_the_windows(figure):
    from selenium.webdriver import Keys

    browser = figure(convolution((2, 3, 3, 3)))
    slider = browser.find_element("id", "window")
    assert slider.get_attribute("max") == "7"
    rows, ends = [], []
    for act in (
        lambda: browser.find_element("id", "next").click(),
        lambda: browser.find_element("id", "next").click(),
        lambda: browser.find_element("id", "previous").click(),
        lambda: slider.send_keys(Keys.END),
        lambda: browser.find_element("id", "next").click(),
    ):
        act()
        rows.append(lit(browser)["row"])
        ends.append(browser.find_element("id", "next").is_enabled())
    assert ends == [True, True, True, False, False]
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
    # The tables keep their widths, and the columns of filters are those of their products.
    widths = browser.execute_script(
        "return [0, 100, 575].map((step) => {"
        "  stepTo(step);"
        "  return ['col', 'col_W', 'product'].map((id) =>"
        "    document.querySelector(`#${id} table`).offsetWidth)"
        "})"
    )
    assert widths == [widths[0]] * 3
    assert widths[0][1] == widths[0][2]
    # The small maps show all of them, as well as all that a tap meets.
    squares = r"M(\d+) (\d+)h1v1"
    point(browser, "x", 0, 0, 9, 19)
    maps = (
        "return [...document.querySelectorAll(`#maps ${arguments[0]}`)]"
        ".map((one) => one.getAttribute('d'))"
    )
    _, col, _ = browser.execute_script(maps, ".lit")
    assert {(int(y), int(x)) for x, y in re.findall(squares, col)} == uses
    point(browser, "W", 0, 7)
    images, *_ = browser.execute_script(maps, ".near")
    met = {(int(x), int(y)) for x, y in re.findall(squares, images)}
    assert met == {(x, y) for x in range(2, 26) for y in range(1, 25)}


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
    from selenium.webdriver import Keys

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
    # Escape goes back to the window of the slider; then the cell can be chosen again.
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert lit(browser)["row"] == {(0,)}
    browser.execute_script("arguments[0].click()", target)
    assert lit(browser)["col"] == {(3, 1)}
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
