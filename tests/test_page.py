"""The page of `pyconv profile --html`: the file, and what a browser shows of it."""

import copy
import json

import pytest
from browser import Page, asks_nobody, contrast, luminance, scrolls_sideways, tap, texts

from pyconv.profiling.page import write_page

HOSTILE = "</script ><!--<script><!--style--><b>&amp;\u2028\"'"


def row(
    shape, which, seconds, ratios, *, threads=1, isa="avx2", operations=86_400_000, size=7_228_600
):
    rivals = {rival: seconds * ratio if ratio else None for rival, ratio in ratios.items()}
    return {
        "shape": shape,
        "op": "conv",
        "pass": which,
        "dtype": "float32",
        "batch": 100,
        "threads": threads,
        "isa": isa,
        "operations": operations,
        "bytes": size,
        "memory": 123_456 if which == "forward" else None,
        "rate": {"amount": operations / seconds / 1e9, "unit": "GF/s", "of_peak": 0.37},
        "median_seconds": {"pyconv": seconds, **rivals},
        "spread": dict.fromkeys(["pyconv", *ratios], 0.04),
        "fastest_variant": {"pyconv": "", **dict.fromkeys(ratios, "NCHW")},
        "ratios": ratios,
        "rounds": {"pyconv": {"": [seconds]}},
    }


def profile(rows, settings=((1, "avx2"),)):
    return {
        "format": 2,
        "machine": {"cpu": "Analytical Engine", "system": "Linux-6"},
        "build": {"version": "0.1.0", "compiler": "GNU 12.2.0", "isas": ["baseline", "avx2"]},
        "versions": {"pyconv": "0.1.0", "torch": "2.13.0", "reference": "numpy 2.3"},
        "settings": [
            {
                "threads": threads,
                "isa": isa,
                "peak_gflops": threads * (25.0 if isa == "baseline" else 100.0),
                "peak_copy_gbytes_per_s": threads * 20.0,
            }
            for threads, isa in settings
        ],
        "rows": rows,
        "geometric_means": {"torch": 2.0, "reference": 50.0},
    }


ONE = profile(
    [
        row("mnist_conv1", "forward", 2e-3, {"torch": 4.0, "reference": 50.0}),
        row("mnist_conv1", "dw", 1e-3, {"torch": 0.5, "reference": None}, size=28_914_400),
        row("mnist_im2col", "forward", 3e-3, {"torch": 4.0, "reference": 50.0}, operations=0),
    ]
)
SETTINGS = [(threads, isa) for isa in ("baseline", "avx2") for threads in (1, 2)]
SEVERAL = profile(
    [
        row(
            "mnist_conv1",
            "forward",
            8e-3 / speed,
            {"torch": speed / 4, "reference": 50.0},
            threads=threads,
            isa=isa,
        )
        for (threads, isa), speed in zip(SETTINGS, (1.0, 1.5, 4.0, 7.0), strict=True)
    ],
    SETTINGS,
)


# The file


@pytest.fixture
def written(tmp_path):
    def write(result):
        write_page(result, tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        return text, Page(text)

    return write


def test_the_page_has_a_title_a_language_and_headings(written):
    _, page = written(ONE)
    assert page.tags[0] == ("html", {"lang": "en"})
    assert page.texts["title"] == "pyconv profile: Analytical Engine"
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2")]
    assert headings == ["h1", *["h2"] * 6]
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_the_page_holds_the_profile_without_the_single_rounds(written):
    _, page = written(ONE)
    expected = copy.deepcopy(ONE)
    for each in expected["rows"]:
        del each["rounds"]
    assert json.loads(page.texts["result"]) == expected


def test_the_page_asks_nobody_for_anything(written):
    asks_nobody(written(ONE)[0])


def test_no_name_breaks_out_of_the_script_that_holds_it(written):
    result = copy.deepcopy(ONE)
    result["machine"]["cpu"] = result["rows"][0]["shape"] = HOSTILE
    text, page = written(result)
    held = json.loads(page.texts["result"])
    assert held["rows"][0]["shape"] == HOSTILE
    assert page.texts["title"] == f"pyconv profile: {HOSTILE}"
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in written(ONE)[1].tags]
    assert not set("<>&") & set(page.texts["result"])
    assert text.count("</script") == 4  # of the page's own scripts


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 1}, "a page is drawn from a profile of format 2, not of 1"),
        ({"rows": []}, "a page needs a row at least"),
        ({"geometric_means": {"torch": float("nan")}}, "not JSON compliant"),
    ],
)
def test_a_profile_that_cannot_be_drawn_leaves_the_old_page(tmp_path, change, sentence):
    target = tmp_path / "page.html"
    target.write_text("before")
    with pytest.raises(ValueError, match=sentence):
        write_page({**ONE, **change}, target)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_disk_that_is_full_leaves_the_old_page(tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_text("before")

    def write_half(path, text, **_):
        path.write_bytes(text[: len(text) // 2].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(target), "write_text", write_half)
    with pytest.raises(OSError, match="No space left"):
        write_page(ONE, target)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


# In a browser


@pytest.fixture
def shown(opened, tmp_path):
    """Show a profile, in some width and scheme of colours."""

    def show(result, **how):
        write_page(result, tmp_path / "page.html")
        return opened(tmp_path / "page.html", **how)

    return show


def table(browser):
    return [
        line.split("\t")
        for line in browser.execute_script(
            "return [...document.querySelectorAll('#table tr')]"
            ".map((row) => [...row.children].map((cell) => cell.textContent).join('\\t'))"
        )
    ]


def test_the_page_shows_the_numbers_of_the_profile(shown):
    browser = shown(ONE)
    assert texts(browser, "h1") == ["Analytical Engine"]
    # The geometric means of 4, 0.5 and 4 and of 50 and 50.
    assert texts(browser, "#tiles strong") == ["2.00×", "50.0×", "86.4 GF/s", "100 GF/s"]
    assert "faster in 2 of 3 rows" in texts(browser, "#tiles small")[0]
    head, first, second, _ = table(browser)
    cells = dict(zip(head, first, strict=True))
    assert cells == {
        "shape": "mnist_conv1",
        "pass": "forward",
        "batch": "100",
        "pyconv": "2.00 ms",
        "spread": "4 %",
        "rate": "43.2 GF/s",
        "of peak": "37 %",
        "memory": "123.5 KB",
        "torch": "8.00 ms",
        "× torch": "4.00×",
        "reference": "100.00 ms",
        "× reference": "50.0×",
    }
    assert dict(zip(head, second, strict=True))["× reference"] == "–"
    assert not browser.find_element("id", "threads").is_displayed()
    assert not browser.find_element("id", "choice").is_displayed()
    assert "GNU 12.2.0" in texts(browser, "#machine dd")


def test_pointing_at_a_kernel_names_it(shown):
    from selenium.webdriver import ActionChains

    browser = shown(ONE)
    tip = browser.find_element("id", "tip")
    assert not tip.is_displayed()
    points = browser.find_elements("css selector", "#roofline .mark")
    assert len(points) == 2  # from left to right
    ActionChains(browser).move_to_element(points[1]).perform()
    assert tip.text.splitlines() == [
        "mnist_conv1",
        "forward, batch 100",
        "43.2 GF/s at 12.0 operations per byte",
        "2.00 ms, spread 4 %",
        "37 % of the peak of computing",
        "4.00× as fast as torch",
        "50.0× as fast as reference",
    ]
    # A click on one kernel gives it the focus; another beside the next takes that away again.
    ActionChains(browser).click(points[0]).perform()
    assert "86.4 GF/s" in tip.text
    ActionChains(browser).move_to_element_with_offset(points[1], 9, -9).click().perform()
    assert "43.2 GF/s" in tip.text
    ActionChains(browser).move_to_element(browser.find_element("tag name", "h1")).perform()
    assert not tip.is_displayed()
    assert "mnist_im2col (forward, batch 100)" in texts(browser, "#unplotted")[0]


def test_a_tap_near_a_kernel_names_it(shown):
    browser = shown(ONE, width=360)
    tip = browser.find_element("id", "tip")
    place = "const box = arguments[0].getBoundingClientRect(); return [box.right, box.bottom]"
    for point, rate in zip(
        browser.find_elements("css selector", "#roofline .mark"), ("86.4", "43.2"), strict=True
    ):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
        x, y = browser.execute_script(place, point)
        tap(browser, x + 5, y + 5)
        assert f"{rate} GF/s" in tip.text
        assert tip.rect["x"] >= 0
        assert tip.rect["x"] + tip.rect["width"] <= 360


def test_points_lie_where_their_numbers_are(shown):
    browser = shown(ONE)
    places = browser.execute_script(
        "return [...document.querySelectorAll('#roofline .mark, #roofline .grid text')]"
        ".map((node) => [node.textContent, node.getBoundingClientRect()])"
        ".map(([text, box]) => [text, box.x + box.width / 2, box.y + box.height / 2])"
    )
    marks = [(x, y) for text, x, y in places if not text]
    below = {text: x for text, x, y in places if text in ("5", "10", "20") and y > marks[0][1] + 20}
    # A logarithmic scale: 2.99 operations per byte and 12 are as far apart as 5 and 20 (by 4).
    assert marks[1][0] - marks[0][0] == pytest.approx(below["20"] - below["5"], abs=2)
    assert marks[1][1] > marks[0][1]  # 43 GF/s lie below 86


def test_the_keyboard_reaches_every_kernel(shown):
    from selenium.webdriver import ActionChains, Keys

    browser = shown(ONE)
    focused = "return document.activeElement.getAttribute('aria-label') ?? ''"
    for _ in range(3):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        if browser.execute_script(focused):
            break
    assert browser.execute_script(focused).startswith("mnist_conv1 dw, batch 100; 86.4 GF/s")
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert browser.execute_script(focused).startswith("mnist_conv1 forward, batch 100; 43.2 GF/s")
    assert "43.2 GF/s" in browser.find_element("id", "tip").text
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not browser.find_element("id", "tip").is_displayed()


def test_bars_go_right_from_one_where_pyconv_is_faster_and_left_where_it_is_not(shown):
    browser = shown(ONE)
    bars = browser.execute_script(
        "return [...document.querySelectorAll('#speedups li')].map((bar) => {"
        "  const box = (kind) => bar.querySelector(kind).getBoundingClientRect();"
        "  const [filled, line] = [box('.bar'), box('.line')];"
        "  return [bar.querySelector('b').textContent, "
        "    filled.left - line.left, filled.right - line.left];"
        "})"
    )
    found = {text: (left, right) for text, left, right in bars}
    assert set(found) == {"4.00×", "50.0×", "0.50×"}
    (_, four), (half, end) = found["4.00×"], found["0.50×"]
    assert found["4.00×"][0] == pytest.approx(0, abs=1.5)
    assert end == pytest.approx(0, abs=1.5)
    assert four == pytest.approx(-2 * half, abs=2)  # on a logarithmic scale


def test_a_heading_sorts_the_table(shown):
    browser = shown(ONE)

    def ratios():
        return [cells[head.index("× torch")] for cells in table(browser)[1:]]

    head = table(browser)[0]
    for order, expected in [
        ("descending", ["4.00×", "4.00×", "0.50×"]),
        ("ascending", ["0.50×", "4.00×", "4.00×"]),
    ]:
        browser.find_elements("css selector", "#table button")[head.index("× torch")].click()
        assert ratios() == expected
        sorted_by = browser.find_elements("css selector", "#table [aria-sort]")
        assert [by.get_attribute("aria-sort") for by in sorted_by] == [order]
    browser.find_elements("css selector", "#table button")[head.index("× reference")].click()
    assert ratios()[2] == "0.50×"  # what was not measured comes last


def test_settings_are_chosen_and_compared(shown):
    browser = shown(SEVERAL)
    assert len(browser.find_elements("css selector", "#roofline path.roof")) == 4
    assert texts(browser, "#threads b") == ["1.00×", "1.75×"]
    assert texts(browser, "#isa b") == ["1.00×", "4.67×"]
    assert texts(browser, "#tiles strong")[0] == "1.75×"
    for label in browser.find_elements("css selector", "#choice label"):
        if label.text in ("1", "baseline"):
            label.click()
    assert texts(browser, "#threads b") == ["1.00×", "1.50×"]
    assert texts(browser, "#isa b") == ["1.00×", "4.00×"]
    assert texts(browser, "#tiles strong")[0] == "0.25×"
    assert [cells[3] for cells in table(browser)[1:]] == ["8.00 ms"]


@pytest.mark.parametrize("result", [ONE, SEVERAL], ids=["one setting", "several settings"])
def test_a_phone_scrolls_the_table_and_not_the_page(shown, result):
    result = copy.deepcopy(result)
    result["rows"][0]["shape"] = "100,1,28,28*30,5,5/stride1/pad0/dilation1/groups1"
    browser = shown(result, width=360)
    seen, table_seen, table_wide, bars = browser.execute_script(
        "const table = document.getElementById('table');"
        "return [document.documentElement.clientWidth,"
        "  table.parentElement.clientWidth, table.offsetWidth,"
        "  [...document.querySelectorAll('#speedups .track')].map((track) => track.clientWidth)]"
    )
    assert seen <= 360
    assert not scrolls_sideways(browser)
    assert table_wide > table_seen
    name = browser.find_element("css selector", "#table tbody th")
    assert name.rect["width"] < 200  # room for the numbers beside it
    assert min(bars) > 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast(shown, scheme):
    browser = shown(ONE, scheme=scheme)
    assert (luminance(browser, "body", "backgroundColor") < 0.1) == (scheme == "dark")
    for text in ("h1", "#setting", "#tiles small", "#table td", "#table button"):
        assert contrast(browser, text, "color", "body") >= 4.5, text
    for part in (".series0", ".series1", ".roof.chosen"):
        name = "stroke" if part.startswith(".roof") else "fill"
        assert contrast(browser, part, name, "body") >= 3, part
    for bar in (".bar:not(.slower)", ".bar.slower"):
        assert contrast(browser, bar, "backgroundColor", "article") >= 3, bar
    assert contrast(browser, ".cards h4", "color", "article") >= 4.5


def test_a_name_with_markup_is_shown_as_it_is(shown):
    result = copy.deepcopy(ONE)
    result["rows"][1]["shape"] = "<img src=x onerror=document.title='broken'></script>"
    browser = shown(result)
    assert table(browser)[2][0] == result["rows"][1]["shape"]
    assert browser.title == "pyconv profile: Analytical Engine"
    assert not browser.find_elements("tag name", "img")
