"""Traces: what their arrays hold, where cells come from, and what is said of it."""

import itertools
import re
from string import Formatter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import explain
from pyconv.explain.words import Words
from pyconv.pages import words


@st.composite
def geometries(draw):
    """Shapes of images and filters, and a stride, padding and dilation that fit them."""
    filter_size = draw(st.tuples(*[st.integers(1, 3)] * 2))
    options = {
        "stride": draw(st.tuples(*[st.integers(1, 3)] * 2)),
        "pad": draw(st.tuples(*[st.tuples(*[st.integers(0, 2)] * 2)] * 2)),
        "dilation": draw(st.tuples(*[st.integers(1, 2)] * 2)),
    }
    size = [
        draw(st.integers(max(1, (f - 1) * d + 1 - sum(p)), 6))
        for f, d, p in zip(filter_size, options["dilation"], options["pad"], strict=True)
    ]
    N, C, FN = (draw(st.integers(1, 3)) for _ in range(3))
    return (N, C, *size), (FN, C, *filter_size), options


def numbered(shape):
    """No number twice, and none is 0, which padding is."""
    return np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=60)
@given(geometries())
def test_where_and_uses_are_what_im2col_did(geometry):
    shape, filters, options = geometry
    x = numbered(shape)
    trace = explain.pooling(x, *filters[2:], **options)
    col = trace["col"].array
    for row, column in itertools.product(*map(range, col.shape)):
        source = trace.where(row, column)
        if col[row, column] == 0:
            assert source == explain.PADDING == "padding"
        else:
            assert x[source] == col[row, column]
    found = np.zeros_like(col)
    for pixel in np.ndindex(shape):
        rows, columns = trace.uses(*pixel)
        found[rows, columns] += x[pixel]
        assert (np.diff(rows * col.shape[1] + columns) > 0).all(), "row by row, none twice"
    np.testing.assert_array_equal(found, col)


@settings(max_examples=60)
@given(geometries())
def test_the_steps_of_a_convolution_are_what_the_kernels_compute(geometry):
    shape, filters, options = geometry
    x, W, b = random(*shape), random(*filters, seed=1), random(filters[0], seed=2)
    trace = explain.convolution(x, W, b, **options)
    (FN, _, FH, FW), y = filters, pyconv.conv2d(x, W, b, **options)
    np.testing.assert_array_equal(trace["x"].array, x)
    np.testing.assert_array_equal(trace["col"].array, pyconv.im2col(x, FH, FW, **options))
    np.testing.assert_array_equal(trace["col_W"].array, W.reshape(FN, -1).T)
    np.testing.assert_array_equal(trace["y"].array, y)
    reshaped = trace["reshaped"].array
    np.testing.assert_array_equal(reshaped.ravel(), trace["product"].array.ravel())
    np.testing.assert_allclose(reshaped.transpose(0, 3, 1, 2), y, rtol=1e-4, atol=1e-4)

    dout = random(*y.shape, seed=3)
    back = trace.backward(dout)
    dW, db = pyconv.conv2d_backward_weight(x, dout, W.shape, **options)
    dx = pyconv.conv2d_backward_data(dout, W, x.shape, **options)
    for name, array in (("dout", dout), ("dW", dW), ("db", db), ("dx", dx)):
        np.testing.assert_array_equal(back[name].array, array)
    dcol = back["dcol"].array
    np.testing.assert_allclose(back["dcol_W"].array.T.ravel(), dW.ravel(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        pyconv.col2im(dcol, x.shape, FH, FW, **options), dx, rtol=1e-4, atol=1e-4
    )
    for pixel in np.ndindex(shape):
        assert back["overlaps"].array[pixel] == len(trace.uses(*pixel).rows)
    round_trip = pyconv.col2im(trace["col"].array, x.shape, FH, FW, **options)
    np.testing.assert_allclose(round_trip, x * back["overlaps"].array, rtol=1e-5)


@settings(max_examples=60)
@given(geometries())
def test_the_steps_of_a_pooling_are_what_the_kernels_compute(geometry):
    shape, (_, _, PH, PW), options = geometry
    x = random(*shape)
    trace = explain.pooling(x, PH, PW, **options)
    y, argmax = pyconv.max_pool2d(x, PH, PW, **options)
    np.testing.assert_array_equal(trace["y"].array, y)
    np.testing.assert_array_equal(trace.argmax, argmax)
    windows = trace["windows"]
    assert windows.shape == (y.size, PH * PW)
    np.testing.assert_array_equal(windows.array.ravel(), trace["col"].array.ravel())
    real = (windows.labels != "pad").any(axis=1)
    np.testing.assert_array_equal(windows.marked.sum(axis=1), real, "padding never wins")
    maxima = trace["maxima"].array
    np.testing.assert_array_equal(windows.array[windows.marked], maxima[real])
    np.testing.assert_array_equal(trace["reshaped"].array.ravel(), maxima)
    np.testing.assert_array_equal(trace["reshaped"].array.transpose(0, 3, 1, 2), y)

    dout = random(*y.shape, seed=3)
    back = trace.backward(dout)
    dx = pyconv.max_pool2d_backward(dout, argmax, x.shape, PH, PW, **options)
    np.testing.assert_array_equal(back["dx"].array, dx)
    np.testing.assert_allclose(
        pyconv.col2im(back["dcol"].array, x.shape, PH, PW, **options), dx, atol=1e-5
    )
    assert back["wins"].array.sum() == real.sum()
    np.testing.assert_array_equal(back["dx"].array != 0, back["wins"].array > 0)


@settings(max_examples=60)
@given(geometries())
def test_labels_count_pixels_taps_and_outputs_within_their_table(geometry):
    shape, filters, options = geometry
    trace = explain.convolution(numbered(shape), random(*filters), **options)
    _, _, H, W = shape
    np.testing.assert_array_equal(
        trace["x"].labels[-1, -1].ravel(), [f"D{i}" for i in range(H * W)]
    )
    for row, column in np.ndindex(trace["col"].shape):
        source, label = trace.where(row, column), trace["col"].labels[row, column]
        assert label == ("pad" if source == "padding" else f"D{source.y * W + source.x}")
    taps = filters[2] * filters[3]
    for k, f in np.ndindex(trace["col_W"].shape):
        assert trace["col_W"].labels[k, f] == f"{'FGH'[f]}{k % taps}"
    flat = trace["W"].labels.reshape(filters[0], -1).T
    np.testing.assert_array_equal(flat, trace["col_W"].labels)
    np.testing.assert_array_equal(trace["reshaped"].labels.transpose(0, 3, 1, 2), trace["y"].labels)
    np.testing.assert_array_equal(trace["reshaped"].labels.ravel(), trace["product"].labels.ravel())
    for step in (*trace, *trace.backward()):
        assert step.labels.shape == step.shape == step.array.shape


def test_letters_do_not_run_out():
    trace = explain.convolution(random(1, 1, 1, 1), random(700, 1, 1, 1))
    labels = trace["W"].labels.ravel()
    assert [*labels[:2], *labels[20:23], labels[462]] == ["F0", "G0", "Z0", "FF0", "FG0", "FFF0"]
    assert len(set(labels)) == 700
    assert not any(label.startswith("D") for label in labels), "which pixels are called"


def test_a_trace_is_a_snapshot():
    x, W, dout = random(1, 1, 3, 3), random(1, 1, 2, 2), random(1, 1, 2, 2)
    b = random(1)
    trace, pooled = explain.convolution(x, W, b), explain.pooling(x, 2, 2)
    bias = trace.b.copy()
    back = trace.backward(dout)
    before = [step.array.copy() for step in (*trace, *pooled, *back)]
    x[:], W[:], b[:], dout[:] = 0, 0, 0, 0
    np.testing.assert_array_equal(trace.b, bias)
    for step, array in zip((*trace, *pooled, *back), before, strict=True):
        np.testing.assert_array_equal(step.array, array)


def test_float64_and_an_empty_batch_stay_what_they_are():
    trace = explain.convolution(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
    assert {step.array.dtype for step in (*trace, *trace.backward())} == {np.dtype(np.float64)}
    empty = explain.convolution(random(0, 2, 3, 3), random(2, 2, 2, 2))
    assert empty["col"].shape == (0, 8)
    pooled = explain.pooling(random(0, 2, 3, 3), 2, 2)
    for trace in (empty, empty.backward(), pooled, pooled.backward()):
        assert str(trace)
        assert trace._repr_html_()


def test_a_bad_shape_gets_the_sentence_of_the_kernels():
    x, W = random(1, 3, 3, 3), random(2, 2, 2, 2)
    for explained, computed in (
        (lambda: explain.convolution(x, W), lambda: pyconv.conv2d(x, W)),
        (lambda: explain.convolution(x, W, pad=-1), lambda: pyconv.conv2d(x, W, pad=-1)),
        (lambda: explain.convolution(x.tolist(), W), lambda: pyconv.conv2d(x.tolist(), W)),
        (lambda: explain.pooling(x, 4, 4), lambda: pyconv.max_pool2d(x, 4, 4)),
        (lambda: explain.pooling(x, 2, 2, stride=0), lambda: pyconv.max_pool2d(x, 2, 2, stride=0)),
    ):
        with pytest.raises((TypeError, ValueError)) as kernel:
            computed()
        with pytest.raises(type(kernel.value), match=f"^{re.escape(str(kernel.value))}$"):
            explained()
    with pytest.raises(ValueError, match="dout has shape"):
        explain.pooling(x, 2, 2).backward(random(1, 3, 3, 3))


def test_a_place_that_is_not_there_is_named():
    trace = explain.pooling(random(1, 3, 3, 3), 2, 2)
    for ask, sentence in (
        (
            lambda: trace.where(4, 0),
            "row is 4, but there are only 4 rows in the column matrix, counted",
        ),
        (
            lambda: trace.where(0, 12),
            "col is 12, but there are only 12 columns in the column",
        ),
        (lambda: trace.where(-1, 0), "row must be at least 0, not -1"),
        (lambda: trace.uses(0, 3, 0, 0), "c is 3, but there are only 3 channels"),
        (lambda: trace.uses(0, 0, 3, 0), "y is 3, but there are only 3 rows in an image"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ask()
    with pytest.raises(TypeError, match=re.escape("col must be a whole number, not 1.5")):
        trace.where(0, 1.5)
    with pytest.raises(KeyError, match="no step 'colum'; the steps are x, col, windows"):
        trace["colum"]
    with pytest.raises(ValueError, match="lang must be 'en' or 'ko', not 'de'"):
        explain.pooling(random(1, 3, 3, 3), 2, 2, lang="de")


def test_both_languages_say_the_same():
    english, korean = (words("pyconv.explain", lang) for lang in ("en", "ko"))
    assert english.keys() == korean.keys()
    for key, sentence in english.items():
        names = {name for _, name, _, _ in Formatter().parse(sentence) if name}
        assert names == {name for _, name, _, _ in Formatter().parse(korean[key]) if name}
        assert re.search("[가-힣]", korean[key]), f"{key} is not translated"
        assert not re.search("[가-힣]", sentence)
    assert Words("en").count("image", 1) == "1 image"
    assert Words("ko").count("image", 2) == "이미지 2장"


def test_a_notebook_draws_every_cell_with_its_label_and_number():
    trace = explain.pooling(numbered((1, 1, 3, 3)), 2, 2, pad=1)
    drawn = trace._repr_html_()
    assert "<script" not in drawn
    for step in trace:
        assert f"<code>{step.code}</code>" in drawn
    assert "D8<br><small>9</small>" in drawn
    # around the image; in the column matrix and in that of windows all but 4 copies of 9 pixels
    assert drawn.count(">pad<") == 16 + 2 * (16 * 4 - 9 * 4)
    assert drawn.count("<b>[D") == trace["windows"].marked.sum()
    assert explain.convolution(random(1, 1, 3, 3), random(1, 1, 2, 2)).backward()._repr_html_()
