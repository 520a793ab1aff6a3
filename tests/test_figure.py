"""The page of `pyconv explain conv --html` and `pool --html`: what a browser shows and lights."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest
from browser import Page, asks_nobody, contrast, luminance, scrolls_sideways, tap, texts
from typer.testing import CliRunner

import pyconv
from pyconv import explain
from pyconv.cli import app
from pyconv.explain.figure import write_figure

WORDS = json.loads(files("pyconv.explain.figure").joinpath("words.json").read_text("utf-8"))


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 10, shape).astype(np.float64)


def convolution(x=(1, 3, 3, 3), W=(2, 3, 2, 2), b=True, **how):
    b = numbers(W[0], seed=2) if b else None
    return explain.convolution(numbers(*x), numbers(*W, seed=1), b, **how)


def pooling(x=(1, 3, 3, 3), pool=(2, 2), **how):
    return explain.pooling(numbers(*x), *pool, **how)


DIGIT = convolution((1, 1, 28, 28), (30, 1, 5, 5))


# The file


@pytest.mark.parametrize("trace", [convolution(), pooling()], ids=["conv", "pool"])
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_page_is_of_one_language_and_asks_nobody(tmp_path, trace, lang):
    write_figure(trace, tmp_path / "page.html", lang)
    text = (tmp_path / "page.html").read_text("utf-8")
    page = Page(text)
    asks_nobody(text)
    assert page.tags[0] == ("html", {"lang": lang})
    assert page.texts["title"] == WORDS[lang]["title"]
    assert json.loads(page.texts["given"])["x"] == trace.x.ravel().tolist()
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_numbers_are_as_short_as_their_dtype_allows(tmp_path):
    x = np.full((1, 1, 3, 3), 0.1, np.float32)
    write_figure(explain.pooling(x, 2, 2), tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert json.loads(page.texts["given"])["x"] == [0.1] * 9


def test_both_languages_have_the_same_words_and_none_is_left_untranslated():
    english, korean = WORDS["en"], WORDS["ko"]
    assert list(english) == list(korean)
    for name, text in english.items():
        places = re.findall(r"{\w+}", text), re.findall(r"{\w+}", korean[name])
        assert set(places[0]) == set(places[1]), name
        if re.search("[a-z]{2}", re.sub(r"{\w+}", "", text).removesuffix("[,,,] = ")):
            assert re.search("[가-힣]", korean[name]), name


@pytest.mark.parametrize(
    ("trace", "lang", "sentence"),
    [
        (convolution(), "de", "lang must be 'en' or 'ko', not 'de'"),
        (pooling((0, 3, 3, 3)), "en", r"x of shape \(0, 3, 3, 3\) holds 0"),
        (pooling((100, 3, 30, 30)), "en", r"from 1 to 250,000 numbers, but x .* holds 270,000"),
        (explain.pooling(np.full((1, 1, 3, 3), np.nan), 2, 2), "en", "but x holds nan"),
    ],
)
def test_a_trace_that_cannot_be_drawn_leaves_the_old_page(tmp_path, trace, lang, sentence):
    target = tmp_path / "page.html"
    target.write_text("before")
    with pytest.raises(ValueError, match=sentence):
        write_figure(trace, target, lang)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_command_writes_the_page_instead_of_printing(tmp_path):
    target = tmp_path / "page.html"
    options = ["--html", str(target), "--input", "2,1,5,4", "--stride", "2,1", "--lang", "ko"]
    for command, size in ("conv", ("--filter", "3,1,3,2")), ("pool", ("--pool", "3,2")):
        result = CliRunner().invoke(app, ["explain", command, *options, *size])
        assert result.exit_code == 0
        assert result.output == f"{target}: a page to open in a browser\n"
        page = Page(target.read_text("utf-8"))
        assert page.tags[0] == ("html", {"lang": "ko"})
        given = json.loads(page.texts["given"])
        assert given["kind"] == command
        sizes = [given["sizes"][name] for name in ("N", "C", "H", "W", "FH", "FW", "SH", "SW")]
        assert sizes == [2, 1, 5, 4, 3, 2, 2, 1]


def test_the_command_answers_in_sentences(tmp_path):
    for option, sentence in (
        (["--html", str(tmp_path / "no" / "page.html")], "there is no folder"),
        (["--html", str(tmp_path / "page.html"), "--backward"], "has no gradients"),
    ):
        result = CliRunner().invoke(app, ["explain", "conv", *option])
        assert result.exit_code == 1
        assert sentence in result.output
    assert not list(tmp_path.iterdir())


# In a browser


@pytest.fixture
def shown(opened, tmp_path):
    """Show the page of a trace, in some width and scheme of colours."""

    def show(trace, lang="en", **how):
        write_figure(trace, tmp_path / "page.html", lang)
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


def random_traces(count, seed, most=5):
    """Traces of convolutions and poolings by turns, of every geometry that fits small images."""
    random = np.random.default_rng(seed)
    traces = []
    while len(traces) < count:
        N, C, FN = random.integers(1, 4, 3)
        H, W = random.integers(1, most + 1, 2)
        window = tuple(map(int, random.integers(1, 4, 2)))
        stride, dilation = (tuple(map(int, random.integers(1, 4, 2))) for _ in range(2))
        pad = tuple(tuple(map(int, side)) for side in random.integers(0, 3, (2, 2)))
        try:
            how = {"stride": stride, "pad": pad, "dilation": dilation}
            if len(traces) % 2:
                traces.append(pooling((N, C, H, W), window, **how))
            else:
                traces.append(convolution((N, C, H, W), (FN, C, *window), **how))
        except ValueError:
            continue  # the window does not fit
    return traces


def test_the_page_computes_what_the_kernels_do(shown):
    traces = random_traces(60, seed=5)
    cases = [
        {
            "g": sizes_of(trace),
            "x": trace.x.ravel().tolist(),
            "W": trace.W.ravel().tolist() if hasattr(trace, "W") else [],
            "b": trace.b.tolist() if hasattr(trace, "W") else None,
        }
        for trace in traces
    ]
    results = shown(convolution()).execute_script(
        "return arguments[0].map(({g, x, W, b}) => {"
        "  const m = geometry(g, x, W, b);"
        "  const shape = {OH: m.OH, OW: m.OW, fits: m.fits, col: m.im2col()};"
        "  return b ? {...shape, col_W: m.unrolled(), product: m.product(), y: m.output()}"
        "    : {...shape, y: m.maxima(), argmax: m.winners()};"
        "})",
        cases,
    )
    for trace, found in zip(traces, results, strict=True):
        assert found["fits"]
        assert (found["OH"], found["OW"]) == trace["y"].shape[2:]
        for name in ("col", "col_W", "product", "y"):
            if name in found:
                # JSON has no infinity: -inf, of a window of padding alone, arrives as None.
                array = np.array(found[name], float)
                array[np.isnan(array)] = -np.inf
                np.testing.assert_allclose(array, trace[name].array, rtol=1e-12, err_msg=name)
        if "argmax" in found:
            real = np.isfinite(trace["y"].array)
            argmax = np.array(found["argmax"])
            np.testing.assert_array_equal(argmax[real].astype(int), trace.argmax[real])
            assert all(winner is None for winner in argmax[~real])


def draw(browser, trace):
    """Let the open page draw a geometry, with numbers of its own."""
    browser.execute_script("resize(arguments[0])", sizes_of(trace))


def lit(browser, kind="lit"):
    """What is lit, by the part of the figure that it stands in: {"col": {(0, 1), ...}, ...}."""
    names = browser.execute_script(
        f"return [...document.querySelectorAll('#figure .{kind}')].map((one) => one.dataset.at)"
    )
    parts = {}
    for part, *place in map(str.split, names):
        parts.setdefault(part, set()).add(tuple(map(int, place)))
    return parts


def drawn(browser, part):
    names = browser.execute_script(
        "return [...document.querySelectorAll(`#figure td[data-at^='${arguments[0]} ']`)]"
        ".map((one) => one.dataset.at)",
        part,
    )
    return {tuple(map(int, name.split()[1:])) for name in names}


def point(browser, *name):
    """What happens when a cell is pointed at, without the way of a mouse to it."""
    browser.execute_script(
        "document.querySelector(`[data-at='${arguments[0]}']`)"
        ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true, pointerType: 'mouse'}))",
        " ".join(map(str, name)),
    )


def pixels_in_row(trace, row, columns):
    """Places (n, c, y, x) that `where` gives; padding is left out."""
    places = {trace.where(row, column) for column in columns}
    return {tuple(place) for place in places if place != explain.PADDING}


def inside(trace, places):
    _, _, H, W = trace.x.shape
    return {(n, c, y, x) for n, c, y, x in places if 0 <= y < H and 0 <= x < W}


@pytest.mark.parametrize("kind", ["conv", "pool"])
def test_what_lights_up_is_what_where_and_uses_say(shown, kind):
    traces = [
        trace
        for trace in random_traces(16, seed=8, most=4)
        if ("W" in dir(trace)) == (kind == "conv")
    ]
    random = np.random.default_rng(3)
    browser = shown(convolution() if kind == "conv" else pooling())
    for trace in traces:
        draw(browser, trace)
        (_, width), (_, C, H, W), (OH, OW) = trace["col"].shape, trace.x.shape, trace["y"].shape[2:]
        taps = width // C

        n, f, oy, ox = sorted(drawn(browser, "y"))[random.integers(len(drawn(browser, "y")))]
        point(browser, "y", n, f, oy, ox)
        row = (n * OH + oy) * OW + ox
        columns = range(width) if kind == "conv" else range(f * taps, (f + 1) * taps)
        found = lit(browser)
        assert found["y"] == {(n, f, oy, ox)}
        assert found["col"] == {(row, column) for column in columns} & drawn(browser, "col")
        expected = pixels_in_row(trace, row, columns)
        assert inside(trace, found["x"]) == expected & drawn(browser, "x")
        if kind == "conv":
            assert found["product"] == {(row, f)}
            assert found["W"] == {(f, column) for column in columns} & drawn(browser, "W")
            assert found["col_W"] == {(column, f) for column in columns} & drawn(browser, "col_W")
        else:
            assert found["max"] == {(row * C + f,)}
            assert found["windows"] == {(row * C + f, tap) for tap in range(taps)}

        row, column = sorted(drawn(browser, "col"))[random.integers(len(drawn(browser, "col")))]
        point(browser, "col", row, column)
        found = lit(browser)
        assert found["col"] == {(row, column)}
        assert inside(trace, found["x"]) == pixels_in_row(trace, row, [column])
        assert len(found["x"]) == 1  # a place in the padding where it is padding

        place = sorted(inside(trace, drawn(browser, "x")))[0]
        place = (*place[:2], random.integers(H), random.integers(W))
        point(browser, "x", *place)
        uses = set(zip(*map(np.ndarray.tolist, trace.uses(*map(int, place))), strict=True))
        found = lit(browser)
        assert found["x"] == {place}
        assert found.get("col", set()) == uses & drawn(browser, "col")
        assert uses <= drawn(browser, "col")
        if uses - {next(iter(uses), None)}:
            sentence = browser.find_element("id", "reading").text
            assert f"is in {len(uses)} windows" in sentence


def test_pointing_with_a_mouse_lights_and_leaving_goes_back(shown):
    from selenium.webdriver import ActionChains

    trace = convolution()
    browser = shown(trace, width=1280)
    product, row = trace["product"].array, [(2, column) for column in range(12)]
    target = browser.find_element("css selector", "#y [data-at='y 0 1 1 0']")
    ActionChains(browser).move_to_element(target).perform()
    found = lit(browser)
    assert found["col"] == set(row)
    assert found["row"] == {(2,)}
    assert found["product"] == {(2, 1)}
    assert {place[1] for place in found["x"]} == {0, 1, 2}
    assert {place[2:] for place in found["x"]} == {(1, 0), (1, 1), (2, 0), (2, 1)}
    reading = browser.find_element("id", "reading").text
    assert reading.startswith(
        "Row 2 is one window. Times filter G, it makes output pixel Y[0,1,1,0]"
    )
    assert re.search(r"D3·G0 \+ D4·G1 \+ D6·G2 \+ D7·G3 \+ D3·G0 .* \+ b1 = ", reading)
    assert reading.endswith(f"= {product[2, 1]:g}".replace("-", "−"))
    ActionChains(browser).move_to_element(browser.find_element("tag name", "h1")).perform()
    assert lit(browser)["product"] == {(0, 0)}


def test_a_sum_in_numbers_comes_to_what_it_says(shown):
    browser = shown(convolution())
    browser.execute_script("document.querySelector('[name=text][value=values]').click()")
    for _ in range(2):
        text = browser.find_element("css selector", ".sum").text.replace("−", "-").replace("·", "*")
        terms, result = text.split(" = ")
        assert eval(terms) == float(result)
        browser.find_element("id", "next").click()
    x = convolution().x
    cells = texts(browser, "#x table:first-child td")
    assert [cell.replace("−", "-") for cell in cells] == [f"{v:g}" for v in x[0, 0].ravel()]


def test_a_long_sum_is_abridged(shown):
    browser = shown(DIGIT)
    text = browser.find_element("css selector", ".sum").text
    assert re.fullmatch(r"(\S+·F\d \+ ){4}… \+ \S+·F23 \+ \S+·F24 \+ b0 = \S+", text)


def test_the_winner_of_a_window_is_marked(shown):
    trace = pooling(pad=1)
    browser = shown(trace)
    for step in (0, 5):
        browser.execute_script("stepTo(arguments[0])", step)
        winner = int(trace["windows"].marked[step].argmax())
        row, channel = divmod(step, 3)
        place = trace.where(row, channel * 4 + winner)
        found = lit(browser, "won")
        assert found["windows"] == {(step, winner)}
        assert found["x"] == {tuple(place)}
        value = f"{trace['maxima'].array[step]:g}".replace("-", "−")
        reading = browser.find_element("id", "reading").text
        assert re.search(rf"max\(.*\) = D{place.y * 3 + place.x} = {value}$", reading)
    marked = browser.execute_script(
        "return [...document.querySelectorAll('#windows .marked[data-at^=windows]')]"
        ".map((one) => one.dataset.at)"
    )
    shown_rows = {int(name.split()[1]) for name in marked}
    won = {(i, int(trace["windows"].marked[i].argmax())) for i in shown_rows}
    assert {tuple(map(int, name.split()[1:])) for name in marked} == won


def test_the_slider_and_its_buttons_step_through_the_windows(shown):
    from selenium.webdriver import Keys

    browser = shown(convolution((2, 3, 3, 3)))
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


def test_playing_goes_on_by_itself_and_stops_at_the_end(shown):
    browser = shown(convolution())
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


def test_the_keyboard_reaches_everything(shown):
    from selenium.webdriver import ActionChains, Keys

    browser = shown(convolution())
    focused = "return document.activeElement.dataset.at ?? ''"
    press = lambda *keys: ActionChains(browser).send_keys(*keys).perform()  # noqa: E731
    browser.find_element("css selector", "[name=text]:checked").send_keys(Keys.NULL)
    browser.execute_script("document.querySelector('#shapes summary').focus()")
    parts = []
    for _ in range(25):
        press(Keys.TAB)
        if name := browser.execute_script(focused):
            parts.append(name)
    assert parts == ["x 0 0 0 0", "W 0 0", "col 0 0", "col_W 0 0", "product 0 0", "y 0 0 0 0"]

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


def test_arrows_walk_through_a_matrix_that_is_abridged(shown):
    from selenium.webdriver import ActionChains, Keys

    browser = shown(DIGIT)
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
    assert {(573, column) for column in range(25)} <= drawn(browser, "col")


def test_a_tap_lights(shown):
    browser = shown(convolution(), width=360)
    target = browser.find_element("css selector", "[data-at='col 3 1']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", target)
    box = browser.execute_script("return arguments[0].getBoundingClientRect()", target)
    tap(browser, box["x"] + 9, box["y"] + 9)
    found = lit(browser)
    assert found["col"] == {(3, 1)}
    assert found["x"] == {(0, 0, 1, 2)}
    assert found["W"] == {(0, 1), (1, 1)}
    assert {(3, column) for column in range(12)} - {(3, 1)} <= lit(browser, "near")["col"]


def slide(browser, name, value):
    browser.execute_script(
        "const slider = document.getElementById(`size-${arguments[0]}`);"
        "slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}))",
        name,
        value,
    )


def test_sliders_change_the_shapes_and_the_rules_that_made_them(shown):
    browser = shown(convolution())
    for name, value in ("N", 2), ("H", 5), ("stride", 2), ("pad", 1), ("FN", 4), ("dilation", 2):
        slide(browser, name, value)
    assert texts(browser, "#sizes p") == [
        "OH = (H + 2·P − ((FH − 1)·2 + 1)) / S + 1 = (5 + 2 − 3) / 2 + 1 = 3",
        "OW = (W + 2·P − ((FW − 1)·2 + 1)) / S + 1 = (3 + 2 − 3) / 2 + 1 = 2",
    ]
    assert texts(browser, ".shape") == [
        "(2, 3, 5, 3) = (N, C, H, W)",
        "(4, 3, 2, 2) = (FN, C, FH, FW)",
        "(12, 12) = (N·OH·OW, C·FH·FW) = (2·3·2, 3·2·2)",
        "(12, 4) = (C·FH·FW, FN)",
        "(12, 4) = (N·OH·OW, FN)",
        "(2, 4, 3, 2) = (N, FN, OH, OW)",
    ]
    slide(browser, "H", 6)
    assert "⌊(6 + 2 − 3) / 2⌋ + 1 = 3" in texts(browser, "#sizes p")[0]
    # What was given is still there, and the page says that it added to it.
    first = browser.execute_script("return state.m.pixel({n: 0, c: 2, y: 2, x: 2})")
    assert first == convolution().x[0, 2, 2, 2]
    assert browser.find_element("id", "made_up").is_displayed()
    browser.find_element("id", "reset").click()
    assert texts(browser, ".shape")[0] == "(1, 3, 3, 3) = (N, C, H, W)"
    assert not browser.find_element("id", "made_up").is_displayed()


@pytest.mark.parametrize(
    "trace", [convolution(), pooling(stride=(1, 2), pad=((0, 1), (0, 0)))], ids=["conv", "pool"]
)
def test_a_window_that_does_not_fit_gets_the_sentence_of_the_kernels(shown, trace):
    browser = shown(trace)
    before = texts(browser, "#figure")
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
    slide(browser, "dilation", 1)
    assert not problem.is_displayed()


@pytest.mark.parametrize(
    "trace",
    [convolution((2, 3, 4, 4), pad=1), pooling((2, 4, 4, 4)), DIGIT],
    ids=["conv", "pool", "digit"],
)
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_a_phone_scrolls_the_tables_and_not_the_page(shown, trace, lang):
    browser = shown(trace, lang, width=360)
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
def test_the_korean_page_speaks_korean(shown, trace):
    browser = shown(trace, "ko")
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
    assert left <= {"pyconv", "explain", "conv", "pool", "Tab", "max"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast(shown, scheme):
    browser = shown(convolution((1, 4, 3, 3), (2, 4, 2, 2)), scheme=scheme)
    assert (luminance(browser, "body", "backgroundColor") < 0.1) == (scheme == "dark")
    for text in ("h1", ".lead", "figcaption p", "code", "th", "#figure caption"):
        assert contrast(browser, text, "color", "body") >= 4.5, text
    mixed = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    for channel in range(4):
        for kind in (".lit", ":not(.lit):not(.near)"):
            cell = f"#x td.channel{channel}{kind}"
            text = luminance(browser, cell, "color")
            red, green, blue = map(
                float, re.findall(r"[\d.]+", browser.execute_script(mixed, cell))[-3:]
            )
            linear = [
                v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
                for v in (red, green, blue)
            ]
            ground = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
            assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5, cell


def test_channels_are_told_apart_without_colour_too(shown):
    browser = shown(convolution((1, 4, 3, 3), (2, 4, 2, 2)))
    lines = browser.execute_script(
        "return [0, 1, 2, 3].map((c) =>"
        "  getComputedStyle(document.querySelector(`#col td.channel${c}`)).borderBottomStyle)"
    )
    assert len(set(lines)) == 4
    assert texts(browser, "#col .group") == [f"channel {c}" for c in range(4)]


def test_nothing_moves_where_motion_is_not_wanted(shown):
    browser = shown(convolution())
    style = "return getComputedStyle(document.querySelector('#x td')).transitionDuration"
    assert browser.execute_script(style) != "0s"
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": still})
    assert browser.execute_script(style) == "0s"
