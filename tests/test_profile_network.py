"""`pyconv.profile(network, x, t)` and `network.plan(shape)`: the costs of one's own network."""

import copy
import html.parser
import json
import math
import pickle
import tracemalloc

import numpy as np
import pytest

import pyconv
from pyconv.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Layer,
    Pooling,
    Relu,
    Sigmoid,
)
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet
from pyconv.profiling import network as profiling
from pyconv.profiling.network_report import NetworkProfile, ProfileRow
from pyconv.tables import amount

IMAGES = (1, 28, 28)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(profiling, "SECONDS", 0.0)


def r(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def batch(N=6):
    return r(N, *IMAGES), np.arange(N) % 10


def mixed(fused=True):
    """Every kind of layer, two of which change in training."""
    layers = [
        Convolution(r(4, 1, 3, 3), r(4)), BatchNormalization(r(4), r(4)), Relu(),
        Convolution(r(6, 2, 3, 3), groups=2), Relu(), Pooling(3, 3, 2, mode="average"),
        Pooling(2, 2, 1), Dropout(0.3, 5), Flatten(), Affine(r(600, 8), r(8)), Sigmoid(),
        Affine(r(8, 10)),
    ]  # fmt: skip
    return Sequential(layers, IMAGES, "mixed", fused)


NETWORKS = {
    "simple": lambda fused: SimpleConvNet(rng=0, fused=fused),
    "deep": lambda fused: DeepConvNet(rng=0, fused=fused),
    "mixed": mixed,
}
everywhere = pytest.mark.parametrize(
    ("name", "fused"), [(name, fused) for name in NETWORKS for fused in (True, False)]
)


def refuses(call, kind, *words):
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def row_of(report, layers, which):
    (row,) = [row for row in report.rows if (row.layers, row.which) == (layers, which)]
    return row


# The profile


@everywhere
def test_every_step_has_a_row_for_each_pass_in_the_order_they_run(name, fused):
    network, (x, t) = NETWORKS[name](fused), batch()
    steps = list(network.steps())
    report = pyconv.profile(network, x, t)
    there = [(step, "forward") for step in [*steps, "Softmax"]]
    back = [(step, "backward") for step in ["Softmax", *reversed(steps)]]
    assert [(row.layers, row.which) for row in report.rows] == there + back
    forward = pyconv.profile(network, x)
    assert [(row.layers, row.which) for row in forward.rows] == there[:-1]
    assert (report.call, forward.call) == ("gradient", "predict")
    for one in (report, forward):
        assert all(row.seconds > 0 and row.spread >= 0 for row in one.rows)
        assert one.seconds == pytest.approx(sum(row.seconds for row in one.rows))
        assert sum(map(one.share, one.rows)) == pytest.approx(1)
        assert one.call_seconds > 0
        assert one.rounds >= profiling.FEWEST_ROUNDS


def test_blocks_are_one_row_and_layers_apart_their_own():
    x, t = batch()
    names = [row.layers for row in pyconv.profile(SimpleConvNet(rng=0), x).rows]
    assert names == ["Conv1 + Relu1 + Pool1", "Affine1 + Relu2", "Affine2"]
    apart = SimpleConvNet(rng=0, fused=False)
    assert [row.layers for row in pyconv.profile(apart, x).rows] == list(apart.layers)
    with pyconv.use_backend("reference"):
        report = pyconv.profile(SimpleConvNet(rng=0), x[:2], t[:2])
    assert report.backend == "reference"
    assert len(report.rows) == 2 * len(apart.layers) + 2
    assert "the reference backend" in str(report)


def everything(network):
    """What a network is and remembers, to the last bit."""
    network._plan = type(network._plan)()  # remade whenever it is needed
    return pickle.dumps(network)


@everywhere
@pytest.mark.parametrize("labelled", [True, False])
def test_a_profile_changes_nothing(name, fused, labelled):
    network, (x, t) = NETWORKS[name](fused), batch()
    network.gradient(x[:2], t[:2])  # so that there are gradients, and memories of a batch
    x_before, before = x.copy(), everything(network)
    arrays = {key: id(array) for key, array in network.params.items()}
    pyconv.profile(network, x, t if labelled else None)
    assert everything(network) == before
    assert {key: id(array) for key, array in network.params.items()} == arrays
    np.testing.assert_array_equal(x, x_before)


def test_that_check_sees_statistics_and_random_numbers():
    network, (x, t) = mixed(), batch()
    before = everything(network)
    network.gradient(x, t)
    assert everything(network) != before


def test_operations_are_counted_as_they_are_done():
    N, (x, t) = 6, batch(6)
    report = pyconv.profile(SimpleConvNet(rng=0), x, t)
    block, first = "Conv1 + Relu1 + Pool1", 2 * N * 30 * 24 * 24 * 25
    assert row_of(report, block, "forward").flops == first
    assert row_of(report, block, "backward").flops == first  # the images need no gradient
    second = 2 * N * 4320 * 100
    assert row_of(report, "Affine1 + Relu2", "forward").flops == second
    assert row_of(report, "Affine1 + Relu2", "backward").flops == 2 * second
    plan = SimpleConvNet(rng=0).plan(x.shape)
    assert plan.total("flops") == sum(row.flops for row in report.rows if row.which == "forward")


def test_bytes_are_those_of_every_array_once():
    N, (x, t) = 6, batch(6)
    report = pyconv.profile(SimpleConvNet(rng=0, fused=False), x, t)
    image, map_, pooled, filters = N * 784 * 4, N * 30 * 576 * 4, N * 30 * 144, 780 * 4
    assert row_of(report, "Conv1", "forward").bytes == image + map_ + filters
    assert row_of(report, "Conv1", "backward").bytes == image + map_ + 2 * filters
    assert row_of(report, "Relu1", "forward").bytes == 2 * map_
    assert row_of(report, "Relu1", "backward").bytes == 3 * map_
    assert row_of(report, "Pool1", "forward").bytes == map_ + 4 * pooled + pooled
    flat = pyconv.profile(Sequential([Flatten(), Affine(r(784, 3))], IMAGES), x)
    assert row_of(flat, "Flatten1", "forward").bytes == 0
    assert row_of(flat, "Flatten1", "forward").rate is None
    assert report.rows[0].rate == pytest.approx(
        (report.rows[0].flops / report.rows[0].seconds / 1e9, "GF/s")
    )
    relu = row_of(report, "Relu1", "forward")
    assert relu.rate == pytest.approx((relu.bytes / relu.seconds / 1e9, "GB/s"))


@everywhere
def test_the_memory_kept_is_what_the_plan_foretold(name, fused):
    network, (x, t) = NETWORKS[name](fused), batch()
    report, plan = pyconv.profile(network, x, t), network.plan(x.shape)
    found = {row.layers: row.kept for row in report.rows if row.which == "forward"}
    assert found == {row.layers: row.kept_bytes for row in plan.rows if row.layers != "Input"}
    assert not any(row.kept for row in report.rows if row.which == "backward")


def test_memory_kept_counts_every_array_once_and_a_view_as_what_it_shows():
    images, t = batch(50)
    x = images[:6]  # what lies around a batch is not the layer's
    report = pyconv.profile(SimpleConvNet(rng=0, fused=False), x, t[:6])
    kept = {row.layers: row.kept for row in report.rows if row.which == "forward"}
    assert kept["Conv1"] == x.nbytes
    assert kept["Relu1"] == 6 * 30 * 576 * 4
    assert kept["Pool1"] == 6 * 30 * 144  # a byte tells the winner of a window
    assert kept["Affine1"] == 6 * 4320 * 4
    assert kept["Relu2"] == 6 * 100 * 4
    assert kept["Affine2"] == 0  # its input is what the ReLU has kept
    assert kept["Softmax"] == 2 * 6 * 10 * 4
    assert pyconv.profile(SimpleConvNet(rng=0), x).total("kept") == 0  # predict needs nothing


class Shift(Layer):
    """A layer of one's own."""

    label = "<b>Shift</b>"

    def forward(self, x, train_flg=True):
        self.seen = x
        return x + 1

    def backward(self, dout):
        return dout


def test_layers_of_ones_own_are_profiled_and_their_names_escaped():
    network, (x, t) = Sequential([Shift(), Affine(r(784, 10))], name="<i>mine</i> & co"), batch()
    report = pyconv.profile(network, x, t)
    assert row_of(report, "<b>Shift</b>1", "forward").kept == x.nbytes
    for page in (report._repr_html_(), network.plan(x.shape)._repr_html_()):
        assert "&lt;b&gt;Shift" in page
        assert "&lt;i&gt;mine&lt;/i&gt; &amp; co" in page
        assert "<b>" not in page
        assert "<i>" not in page


NO_PROFILE = [
    (lambda n, x, t: pyconv.profile("net", x), TypeError, "Sequential, not str"),
    (lambda n, x, t: pyconv.profile(n, x[:0]), ValueError, "empty batch", "(0, 1, 28, 28)"),
    (lambda n, x, t: pyconv.profile(n, x[:, :, 1:]), ValueError, "(6, 1, 27, 28)", "(N, 1, 28, 2"),
    (lambda n, x, t: pyconv.profile(n, x / np.float64(2)), TypeError, "x is float64"),
    (lambda n, x, t: pyconv.profile(n, x, t + 5), ValueError, "t[5] is 10", "from 0 to 9"),
    (lambda n, x, t: pyconv.profile(n, x, t[1:]), ValueError, "t has shape (5,)"),
]


@pytest.mark.parametrize("refused", NO_PROFILE)
def test_what_cannot_be_profiled_is_answered_with_a_sentence(refused):
    call, *answer = refused
    refuses(lambda: call(SimpleConvNet(rng=0), *batch()), *answer)


def test_times_that_would_not_be_the_networks_own_are_not_taken():
    class Half(SimpleConvNet):
        def predict(self, x, train_flg=False):
            return super().predict(x, train_flg) / 2

    refuses(lambda: pyconv.profile(Half(rng=0), *batch()), RuntimeError, "Half.predict computes")


# The report


def report_of(*rows, call="gradient"):
    rows = [ProfileRow(*row) for row in rows]
    return NetworkProfile(
        "net", call, (2, 1, 4, 4), "float32", 1, "native", "avx2", 9, rows, 11e-3, 0.02
    )


FIXED = report_of(
    ("Conv1", "forward", 2e-3, 0.1, 10**8, 10**6, 4000),
    ("Relu1", "forward", 1e-3, 0.2, 0, 10**7, 0),
    ("Relu1", "backward", 1e-3, 0.2, 0, 10**7, 0),
    ("Conv1", "backward", 6e-3, 0.1, 2 * 10**8, 10**6, 0),
)


def test_the_sentence_says_where_the_time_goes():
    assert FIXED.sentence == (
        "80% of the time goes to Conv1 (20% forward, 60% backward), its backward pass runs at "
        "33.3 GF/s; next is Relu1 with 20%."
    )
    one = report_of(("Relu1", "forward", 1e-3, 0.2, 0, 10**7, 0), call="predict")
    assert one.sentence == "100% of the time goes to Relu1, at 10.0 GB/s."


def test_a_report_prints_as_a_table():
    lines = [line.split() for line in str(FIXED).splitlines()]
    assert "net.gradient of a batch (2,1,4,4) of float32, 1 thread, avx2" in str(FIXED)
    conv = "Conv1 forward 2.00 ms 10% 20% 100 MFLOP 1.00 MB 50.0 GF/s 4.00 kB"
    assert conv.split() in lines
    relu = "Relu1 backward 1.00 ms 20% 10% 10.0 MB 10.0 GB/s"
    assert relu.split() in lines
    total = "in all 10.0 ms 300 MFLOP 22.0 MB 4.00 kB"
    assert total.split() in lines
    assert FIXED.sentence in str(FIXED)
    assert "gradient itself takes 11.0 ms (spread 2%)" in str(FIXED)
    assert repr(FIXED) == (
        "<NetworkProfile of net for (2, 1, 4, 4): 4 rows, 10.0 ms, gradient itself 11.0 ms>"
    )


def test_a_report_becomes_json():
    plain = FIXED.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["rows"][0] == {
        "layers": "Conv1", "pass": "forward", "seconds": 2e-3, "spread": 0.1, "flops": 10**8,
        "bytes": 10**6, "kept": 4000, "share": pytest.approx(0.2),
        "rate": {"amount": pytest.approx(50.0), "unit": "GF/s"},
    }  # fmt: skip
    assert plain["totals"]["seconds"] == pytest.approx(10e-3)
    assert plain["totals"]["bytes"] == 22 * 10**6
    assert plain["sentence"] == FIXED.sentence


class Page(html.parser.HTMLParser):
    """The cells of a page, and that its elements are closed as they should be."""

    def __init__(self, page):
        super().__init__()
        self.open, self.rows, self.tags = [], [], set()
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_report_draws_itself_with_bars_and_needs_nothing_else():
    drawn = FIXED._repr_html_()
    page = Page(drawn)
    assert len(page.rows) == 1 + 4 + 1
    assert {len(row) for row in page.rows} == {9}
    assert page.rows[1][:3] == ["Conv1", "forward", "2.00 ms"]
    assert page.tags <= {"div", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "small"}
    assert "://" not in drawn
    assert drawn.count("linear-gradient") == 4
    assert "transparent 33.3%" in drawn  # 2 of 6 milliseconds
    assert "transparent 100.0%" in drawn


# The plan


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


def test_a_network_that_was_profiled_copies_and_pickles_as_before():
    network, (x, t) = SimpleConvNet(rng=0), batch()
    pyconv.profile(network, x, t)
    twin = pickle.loads(pickle.dumps(copy.deepcopy(network)))
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
