"""The page of `pyconv explain conv --html` and `pool --html`: sliders, widths, words, colours."""

import re

import pytest
from browser import contrast, luminance, scrolls_sideways, texts
from figures import DIGIT, convolution, point, pooling, slide

import pyconv


def test_sliders_change_the_shapes_and_the_rules_that_made_them(figure):
    browser = figure(convolution())
    for name, value in ("N", 2), ("H", 5), ("stride", 2), ("pad", 1), ("FN", 4), ("dilation", 2):
        slide(browser, name, value)
    assert texts(browser, "#sizes p") == [
        "OH = ⌊(H + 2·P − ((FH − 1)·2 + 1)) / S⌋ + 1 = (5 + 2 − 3) / 2 + 1 = 3",
        "OW = ⌊(W + 2·P − ((FW − 1)·2 + 1)) / S⌋ + 1 = (3 + 2 − 3) / 2 + 1 = 2",
    ]
    assert texts(browser, "#figure code") == [
        "col = im2col(x, FH, FW, stride, pad, dilation)",
        "col_W = self.W.reshape(FN, -1).T",
        "out = np.dot(col, col_W) + self.b",
        "out.reshape(N, OH, OW, -1).transpose(0, 3, 1, 2)",
        "col2im(np.ones_like(col), x.shape, FH, FW, stride, pad, dilation)",
    ]
    assert texts(browser, ".corner") == [
        "fy, fx →\nn, oy, ox ↓",
        "f →\nc, fy, fx ↓",
        "f →\nn, oy, ox ↓",
    ]
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
    for hidden in "made_up", "shades":
        assert not browser.find_element("id", hidden).is_displayed()


def test_a_pooling_says_what_its_padding_counts_as(figure):
    browser = figure(pooling())
    maxima = "out = np.max(col.reshape(-1, PH*PW), axis=1)"
    assert texts(browser, "#windows code") == [maxima]
    slide(browser, "pad", 1)
    slide(browser, "PH", 3)
    assert not browser.find_element("id", "made_up").is_displayed()  # no array grew
    assert texts(browser, "#windows code") == [f"{maxima} # padding, 0 in col, counts as −∞"]
    browser.execute_script("document.querySelector('[name=text][value=values]').click()")
    cells = "return [...document.querySelectorAll('#windows .pad')].map((one) => one.textContent)"
    assert set(browser.execute_script(cells)) == {"−∞"}
    assert texts(browser, ".corner") == ["fy, fx →\noy, ox ↓", "fy, fx →\noy, ox, c ↓"]
    slide(browser, "H", 4)
    assert browser.find_element("id", "made_up").is_displayed()


@pytest.mark.parametrize(
    "trace", [convolution(), pooling(stride=(1, 2), pad=((0, 1), (0, 0)))], ids=["conv", "pool"]
)
def test_a_window_that_does_not_fit_gets_the_sentence_of_the_kernels(figure, trace):
    browser = figure(trace)
    before = texts(browser, "#figure")
    # Padding that is not the same on all sides is said side by side.
    even = hasattr(trace, "W")
    rules = "return getComputedStyle(document.getElementById('sizes')).visibility"
    assert browser.execute_script(rules) == "visible"
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
    assert browser.execute_script(rules) == "hidden"
    # It is in view wherever the page is scrolled to.
    bar = browser.find_element("css selector", "#player #problem").rect
    assert bar["y"] + bar["height"] <= browser.execute_script("return scrollY + innerHeight")
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
    # The sum in the bar, or the maximum, is whole and comes to its result.
    for name in "labels", "values":
        browser.execute_script("document.querySelector(`[value=${arguments[0]}]`).click()", name)
        assert re.search(r" = −?\d+$", browser.find_element("css selector", ".sum").text)
        fits = browser.execute_script(
            "return ['.sum', '#reading'].map((name) => document.querySelector(name))"
            ".every((one) => one.scrollWidth <= one.clientWidth"
            "  && one.scrollHeight <= one.clientHeight)"
        )
        assert fits
        assert len(browser.find_elements("css selector", ".sum .term")) <= 4
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
    assert left <= {
        "pyconv",
        "explain",
        "conv",
        "pool",
        "Tab",
        "Esc",
        "max",
        "col",
        "dilation",
        "window",
    }


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
