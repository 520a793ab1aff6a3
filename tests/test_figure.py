"""The page of `pyconv explain conv --html` and `pool --html`: what a browser shows and lights."""

import json
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from browser import Page, asks_nobody
from figures import convolution, drawn, point, pooling, sizes_of
from typer.testing import CliRunner

import pyconv
from pyconv import explain
from pyconv.cli import app
from pyconv.explain.figure import write_figure

WORDS = json.loads(files("pyconv.explain.figure").joinpath("words.json").read_text("utf-8"))


# The file


@pytest.mark.parametrize("trace", [convolution(), pooling()], ids=["conv", "pool"])
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_page_is_of_one_language_and_asks_nobody(tmp_path, trace, lang):
    write_figure(replace(trace, lang=lang), tmp_path / "page.html")
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
    ("trace", "sentence"),
    [
        (pooling((0, 3, 3, 3)), r"x of shape \(0, 3, 3, 3\) holds 0"),
        (pooling((100, 3, 30, 30)), r"from 1 to 250,000 numbers, but x .* holds 270,000"),
        (explain.pooling(np.full((1, 1, 3, 3), np.nan), 2, 2), "but x holds nan"),
    ],
)
def test_a_trace_that_cannot_be_drawn_leaves_the_old_page(tmp_path, trace, sentence):
    target = tmp_path / "page.html"
    target.write_text("before")
    with pytest.raises(ValueError, match=sentence):
        write_figure(trace, target)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_command_writes_the_page_and_says_where(tmp_path):
    target = tmp_path / "page.html"
    options = ["--html", str(target), "--input", "2,1,5,4", "--stride", "2,1", "--lang", "ko"]
    for command, size in ("conv", ("--filter", "3,1,3,2")), ("pool", ("--pool", "3,2")):
        result = CliRunner().invoke(app, ["explain", command, *options, *size])
        assert result.exit_code == 0
        assert result.output.splitlines()[-1] == f"페이지: {target}"
        page = Page(target.read_text("utf-8"))
        assert page.tags[0] == ("html", {"lang": "ko"})
        given = json.loads(page.texts["given"])
        assert given["kind"] == command
        sizes = [given["sizes"][name] for name in ("N", "C", "H", "W", "FH", "FW", "SH", "SW")]
        assert sizes == [2, 1, 5, 4, 3, 2, 2, 1]


def test_the_command_wants_a_folder_for_the_page(tmp_path):
    options = ["--html", str(tmp_path / "no" / "page.html")]
    result = CliRunner().invoke(app, ["explain", "conv", *options])
    assert result.exit_code == 1
    assert "there is no folder" in result.output
    assert not list(tmp_path.iterdir())


# In a browser


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


def test_the_page_computes_what_the_kernels_do(figure):
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
    results = figure(convolution()).execute_script(
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


def pixels_in_row(trace, row, columns):
    """Places (n, c, y, x) that `where` gives; padding is left out."""
    places = {trace.where(row, column) for column in columns}
    return {tuple(place) for place in places if place != explain.PADDING}


def inside(trace, places):
    _, _, H, W = trace.x.shape
    return {(n, c, y, x) for n, c, y, x in places if 0 <= y < H and 0 <= x < W}


@pytest.mark.parametrize("kind", ["conv", "pool"])
def test_what_lights_up_is_what_where_and_uses_say(figure, kind):
    traces = [
        trace
        for trace in random_traces(24, seed=8, most=4)
        if ("W" in dir(trace)) == (kind == "conv")
    ]
    random = np.random.default_rng(3)
    browser = figure(convolution() if kind == "conv" else pooling())
    for trace in traces:
        draw(browser, trace)
        C, width, (OH, OW) = trace.x.shape[1], trace["col"].shape[1], trace["y"].shape[2:]
        taps = width // C

        def one_of(places):
            return [int(i) for i in random.permutation(sorted(places))[0]]

        n, f, oy, ox = one_of(drawn(browser)["y"])
        lights, all_ = point(browser, "y", n, f, oy, ox)
        row = (n * OH + oy) * OW + ox
        columns = range(width) if kind == "conv" else range(f * taps, (f + 1) * taps)
        assert lights["y"] == {(n, f, oy, ox)}
        assert lights["col"] == {(row, column) for column in columns} & all_["col"]
        assert (row, columns[0]) in all_["col"]
        assert inside(trace, lights["x"]) == pixels_in_row(trace, row, columns) & all_["x"]
        if kind == "conv":
            assert lights["product"] == {(row, f)}
            assert lights["W"] == {(f, column) for column in columns} & all_["W"]
            assert lights["col_W"] == {(column, f) for column in columns} & all_["col_W"]
        else:
            assert lights["max"] == {(row * C + f,)}
            assert lights["windows"] == {(row * C + f, tap) for tap in range(taps)}

        row, column = one_of(all_["col"])
        lights, _ = point(browser, "col", row, column)
        assert lights["col"] == {(row, column)}
        assert inside(trace, lights["x"]) == pixels_in_row(trace, row, [column])
        assert len(lights["x"]) == 1  # a place in the padding where it is padding

        place = one_of(inside(trace, all_["x"]))
        lights, all_ = point(browser, "x", *place)
        uses = set(zip(*map(np.ndarray.tolist, trace.uses(*place)), strict=True))
        assert lights["x"] == {tuple(place)}
        assert lights.get("col", set()) == uses
        if len(uses) > 1:
            assert f"is in {len(uses)} windows" in browser.find_element("id", "reading").text
        if kind == "conv":
            assert lights["back"] == {tuple(place)}
            again, _ = point(browser, "back", *place)
            assert again == lights
            w = trace.windows.window
            ones = np.ones_like(trace["col"].array)
            copies = pyconv.col2im(ones, trace.x.shape, w.filter_h, w.filter_w, *w.arguments)
            counts = browser.execute_script(
                "return [...document.querySelectorAll('#back td[data-at]')]"
                ".map((cell) => [cell.dataset.at, Number(cell.textContent)])"
            )
            assert len(counts) == len(all_["back"]) > 0
            for name, count in counts:
                assert count == copies[tuple(map(int, name.split()[1:]))]


def test_what_is_not_drawn_is_not_computed(figure):
    browser = figure(convolution())
    products = browser.execute_script(
        "const m = measure({...given.sizes, C: 1, FN: 16, FH: 7, FW: 7, H: 400, W: 400});"
        "const { dot } = m; let products = 0;"
        "m.dot = (...place) => (products++, dot(...place));"
        "const y = makeParts(m, say, { labels: true }).find((part) => part.id === 'y');"
        "y.cell(y.ref(0, 0)); y.cell(y.ref(300, 300));"
        "return products"
    )
    assert products < 5000
