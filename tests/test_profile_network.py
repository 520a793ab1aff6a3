"""`pyconv.profile(network, x, t)`: where the time of one's own network goes."""

import copy
import json
import pickle

import numpy as np
import pytest
from costed_networks import IMAGES, NETWORKS, Page, batch, everywhere, mixed, r, refuses

import pyconv
from pyconv.layers import Affine, Flatten, Layer
from pyconv.networks import Sequential, SimpleConvNet
from pyconv.profiling import network as profiling
from pyconv.profiling.network_report import NetworkProfile, ProfileRow


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(profiling, "SECONDS", 0.0)


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


def test_a_network_that_was_profiled_copies_and_pickles_as_before():
    network, (x, t) = SimpleConvNet(rng=0), batch()
    pyconv.profile(network, x, t)
    twin = pickle.loads(pickle.dumps(copy.deepcopy(network)))
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
