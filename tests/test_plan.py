"""`network.plan(shape)`: what a batch will cost, without data."""

import json
import math
import tracemalloc

import numpy as np
import pytest
from costed_networks import IMAGES, Page, batch, r, refuses

import pyconv
from pyconv.layers import Affine, Convolution, Pooling, Relu
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet
from pyconv.tables import amount


def test_a_plan_of_the_books_network():
    plan = SimpleConvNet(fused=False).plan((100, *IMAGES))
    rows = {row.layers: row for row in plan.rows}
    assert list(rows) == [
        "Input", "Conv1", "Relu1", "Pool1", "Affine1", "Relu2", "Affine2", "Softmax"
    ]  # fmt: skip
    conv, pool = rows["Conv1"], rows["Pool1"]
    assert conv.output_shape == (100, 30, 24, 24)
    assert (conv.parameters, conv.flops) == (780, 2 * 100 * 432_000)
    assert conv.activation_bytes == 100 * 30 * 24 * 24 * 4
    assert conv.im2col_bytes == 100 * 24 * 24 * 1 * 5 * 5 * 4
    assert pool.im2col_bytes == 100 * 12 * 12 * 30 * 2 * 2 * 4
    assert rows["Affine1"].im2col_bytes == 0
    x = r(2, *IMAGES)
    assert pyconv.im2col(x, 5, 5).nbytes == SimpleConvNet().plan(x.shape).rows[1].im2col_bytes - (
        2 * 12 * 12 * 30 * 4 * 4
    )  # the block's other part is the pooling's
    assert plan.parameter_bytes == 433_890 * 4
    double = SimpleConvNet(fused=False, dtype=np.float64).plan((100, *IMAGES))
    assert double.rows[1].im2col_bytes == 2 * conv.im2col_bytes
    assert (double.dtype, plan.dtype) == ("float64", "float32")


def test_columns_of_groups_strides_and_padding_are_those_of_im2col():
    layer = Convolution(r(4, 1, 3, 2), stride=2, pad=(1, 0), dilation=(2, 1), groups=2)
    x = r(3, 2, 9, 8)
    columns = pyconv.im2col(x, 3, 2, stride=2, pad=(1, 0), dilation=(2, 1))
    assert Sequential([layer]).plan(x.shape).rows[1].im2col_bytes == columns.nbytes


def test_a_plan_is_for_a_batch_or_one_sample():
    network = SimpleConvNet()
    assert network.plan(IMAGES) == network.plan((1, *IMAGES))
    assert network.plan([7, 1, 28, 28]).input_shape == (7, *IMAGES)
    assert network.plan((7, *IMAGES)).total("kept_bytes") == 7 * network.plan(IMAGES).total(
        "kept_bytes"
    )
    rows = Sequential([Affine(r(20, 3)), Relu()])
    assert rows.plan((20,)) == rows.plan((1, 20))
    anything = Sequential([Convolution(r(2, 3, 3, 3)), Relu()])
    assert anything.plan((3, 9, 8)).rows[1].output_shape == (1, 2, 7, 6)


def test_a_plan_allocates_nothing_of_the_size_it_speaks_of():
    network = Sequential([Convolution(r(2, 3, 3, 3)), Relu(), Pooling(2, 2, 2)])
    plan = network.plan((10**6, 3, 1000, 1000))
    assert plan.gradient_peak_bytes > 10**13
    assert plan.rows[1].im2col_bytes > 10**14


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", [SimpleConvNet, DeepConvNet])
def test_peaks_are_those_of_the_memory_really_held(kind, fused):
    x, t = batch(50)
    plan = kind(fused=fused).plan(x.shape)
    before = plan.parameter_bytes + x.nbytes
    for call, peak in (
        (lambda net: net.predict(x), plan.predict_peak_bytes),
        (lambda net: net.gradient(x, t), plan.gradient_peak_bytes),
    ):
        network = kind(rng=0, fused=fused)
        tracemalloc.start()
        try:
            call(network)
            found = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert before + found == pytest.approx(peak, rel=0.02)


NO_PLAN = [
    (5, TypeError, "such as (100, 1, 28, 28), or (1, 28, 28) for one sample, not 5"),
    ((28, 28), ValueError, "for one sample, not (28, 28)"),
    ((2, 2, 1, 28, 28), ValueError, "not (2, 2, 1, 28, 28)"),
    ((0, *IMAGES), ValueError, "at least 1, not 0"),
    ((1.5, *IMAGES), TypeError, "must be a whole number, not 1.5"),
    ((1, 28, 27), ValueError, "Affine1: a sample of shape (30, 12, 11) has 3960 numbers"),
    ((3, 28, 28), ValueError, "Conv1: an image of shape (3, 28, 28) has 3 channels"),
    ((1, 3, 28), ValueError, "Conv1: the window reaches over 5×5 pixels"),
]


@pytest.mark.parametrize("refused", NO_PLAN)
def test_shapes_that_do_not_fit_get_the_layers_own_sentence(refused):
    shape, *answer = refused
    refuses(lambda: SimpleConvNet().plan(shape), *answer)


def test_a_plan_prints_draws_itself_and_becomes_json():
    plan = SimpleConvNet().plan((100, *IMAGES))
    text = str(plan)
    assert "SimpleConvNet for a batch (100,1,28,28) of float32" in text
    row = "Conv1 + Relu1 + Pool1 (100,30,12,12) 780 86.4 MFLOP 1.73 MB 2.47 MB 12.7 MB"
    assert row.split() in [line.split() for line in text.splitlines()]
    assert "held at once by predict" in text
    page = Page(plan._repr_html_())
    assert {len(row) for row in page.rows} == {7}
    assert len(page.rows) == 1 + len(plan.rows) + 1
    plain = plan.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["totals"]["parameters"] == 433_890
    assert plain["rows"][1]["output_shape"] == [100, 30, 12, 12]
    assert repr(plan).startswith("<MemoryPlan of SimpleConvNet for (100, 1, 28, 28): 173 MFLOP,")
    idle = Sequential([Relu()]).plan((3,))
    assert "0 FLOP" in repr(idle)
    assert "nan" not in str(idle) + idle._repr_html_()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, ""), (1, "1 B"), (40, "40 B"), (999, "999 B"), (1000, "1.00 kB"), (999_500, "1.00 MB"),
        (86_400_000, "86.4 MB"), (433_890, "434 kB"), (2e12, "2.00 TB"),
    ],
)  # fmt: skip
def test_amounts_are_read_in_three_digits(number, text):
    assert amount(number, "B") == text


def test_times_are_read_in_three_digits():
    assert [amount(s, "s") for s in (1.53e-3, 7.9e-6, 0.0999, 12.34)] == [
        "1.53 ms", "7.90 µs", "99.9 ms", "12.3 s"
    ]  # fmt: skip
    assert math.isclose(float(amount(1e-3, "s").split()[0]), 1)
