"""`pyconv profile`: its suites and settings, the numbers of its report, and comparing two."""

import importlib.util
import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

import pyconv
from pyconv import _core, cli
from pyconv.profiling import compare, report, words
from pyconv.profiling.machine import Peaks
from pyconv.profiling.race import Result, Row, Times
from pyconv.profiling.settings import Setting, settings_of
from pyconv.profiling.shapes import PASSES
from pyconv.profiling.suite import SHAPES, SUITES, Task, chosen_names, shape_of, tasks

TASK = Task("mnist_conv1", "forward", 100)
SETTING = Setting(1, "avx2")
PEAKS = Peaks(1e11, 1e10)
FAST = ("--against", "", "--repeat", "1", "--batch", "1")


pytestmark = pytest.mark.usefixtures("short_measurements")


def profile(*arguments):
    """Exit code, standard output and standard error of the command."""
    result = CliRunner().invoke(cli.app, ["profile", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def measured(tmp_path, *arguments):
    """The JSON file and standard output of the command."""
    code, out, err = profile(*FAST, "--json", tmp_path / "out.json", *arguments)
    assert (code, err) == (0, "")
    return json.loads((tmp_path / "out.json").read_text(encoding="utf-8")), out


def a_row(task=TASK, ours=(1.0,), setting=SETTING, **rivals):
    """A row of these rounds, each of one sample; of each rival, rounds of each of its ways."""
    ways = {side: {w: Times(r, r) for w, r in found.items()} for side, found in rivals.items()}
    return Row(task, setting, {"pyconv": {"": Times(list(ours), list(ours))}, **ways})


def a_result(*rows):
    sides = {side: "" for row in rows for side in row.times}
    return Result({row.setting: PEAKS for row in rows}, sides, list(rows))


# What is chosen


def test_suites_are_groups_of_shapes():
    assert SUITES["all"] == list(SHAPES)
    for network in ("resnet50", "vgg", "mobilenet"):
        assert SUITES[network]
        assert all(name.startswith(network) for name in SUITES[network])
    assert {SHAPES[name].op for name in SUITES["pooling"]} == {"pool"}
    assert {SHAPES[name].op for name in SUITES["columns"]} == {"columns"}
    ops = {SHAPES[name].op for name in SUITES["mnist"]}
    assert ops == {"conv", "relu", "pool", "block", "affine", "update", "step", "predict"}


def test_without_a_choice_the_mnist_network_is_measured():
    assert chosen_names([], []) == SUITES["mnist"]
    assert chosen_names([], ["vgg_conv2_1"]) == ["vgg_conv2_1"]
    both = chosen_names(["columns", "vgg"], ["vgg_conv2_1", "mnist_pool1"])
    assert both == ["mnist_im2col", "vgg_conv2_1", "vgg_conv3_1", "mnist_pool1"]


def test_the_command_measures_a_suite_of_one_op_and_pass(tmp_path):
    found, out = measured(
        tmp_path, "--threads", 1, "--suite", "pooling,mnist", "--op", "relu,affine",
        "--passes", "backward,dx",
    )  # fmt: skip
    rows = [(row["shape"], row["op"], row["pass"]) for row in found["rows"]]
    assert rows == [
        ("mnist_relu1", "relu", "dx"),
        ("mnist_affine1", "affine", "backward"),
        ("mnist_affine2", "affine", "backward"),
    ]
    assert out.splitlines()[-1].startswith("Of the ")
    assert "is mnist_affine1 backward, batch 1" in out.splitlines()[-1]


def test_ones_own_convolution_is_read():
    full = shape_of("2,4,9,8*6,3,2/2/1/3/2")
    assert (full.batches, full.image, full.filter_shape) == ((2,), (4, 9, 8), (6, 2, 3, 2))
    assert (full.stride, full.pad, full.dilation, full.groups) == (2, 1, 3, 2)
    short = shape_of("16,64,56,56*64,3,3/1/1")
    assert (short.stride, short.pad, short.dilation, short.groups) == (1, 1, 1, 1)
    assert short.cost("forward", 16) == SHAPES["resnet50_res2a_2b"].cost("forward", 16)
    assert shape_of("1,1,3,3*1,3,3").output_size == (1, 1)


def test_ones_own_convolution_is_validated_and_measured():
    rows = {"reference": 2}
    if importlib.util.find_spec("torch"):
        rows["torch"] = 2
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        rows["onnxruntime"] = 1
    own = "2,4,9,8*6,3,2/2/1/2/2"
    code, out, err = profile(
        "--shape", own, "--against", ",".join(rows), "--repeat", 1, "--threads", 1,
        "--passes", "forward,dw",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert f"{own}   forward" in out
    for rival, count in rows.items():
        assert f"× {rival} ({count} row" in out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("16,64,56*64,3,3", "cannot read the convolution '16,64,56*64,3,3'; it takes whole"),
        ("1,1,5,5*1,3,3/1/1/1/1/1", "N,C,H,W*FN,FH,FW/stride/pad/dilation/groups"),
        ("1,1,5,5*1,3,-3", "e.g. 16,64,56,56*64,3,3/1/1"),
        ("1,1,5,5*0,3,3", "every size, and the groups, of the convolution"),
        ("1,1,5,5*1,3,3/0", "stride must be at least 1, not 0"),
        ("1,4,5,5*6,3,3/1/0/1/4", "has 4 channels and 6 filters, which do not both go into 4"),
        ("1,1,5,5*1,7,7", "the window reaches over 7×7 pixels"),
    ],
)
def test_a_convolution_that_is_none_is_answered_with_a_sentence(text, says):
    code, out, err = profile("--shape", text)
    assert (code, out) == (1, "")
    assert says in err
    assert text in err
    assert err.count("\n") == 1


def test_settings_are_every_pair():
    isas = pyconv.build_info()["isas"]
    assert settings_of("2,1,2", ",".join(isas)) == [
        Setting(threads, isa) for threads in (2, 1) for isa in isas
    ]
    assert settings_of(None, None) == [
        Setting(pyconv.get_num_threads(), pyconv.build_info()["isa"])
    ]


def test_settings_are_shown_side_by_side(tmp_path):
    isas = pyconv.build_info()["isas"][:2]
    found, out = measured(
        tmp_path, "--threads", "1,2", "--isa", ",".join(isas), "--shape", "mnist_pool1",
        "--against", "reference", "--passes", "forward",
    )  # fmt: skip
    pairs = [(threads, isa) for threads in (1, 2) for isa in isas]
    assert [(s["threads"], s["isa"]) for s in found["settings"]] == pairs
    assert [(row["threads"], row["isa"]) for row in found["rows"]] == pairs
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("mnist_pool1 ")]
    assert [row[1] for row in rows] == ["forward"]
    assert sum("%" in cell and "±" not in cell for cell in rows[0]) == len(pairs)
    assert out.count("geometric mean of the speed-ups on ") == len(pairs)
    one = [row["rounds"]["reference"] for row in found["rows"] if row["threads"] == 1]
    assert one[0] == one[len(isas) - 1], "a rival is measured once for a number of threads"


def test_a_worker_runs_the_instruction_set_asked_for(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "from pyconv import _core\n"
        "isa = _core.build_info()['isa']\n"
        "def refuse(*arguments): raise ValueError(f'this is {isa}')\n"
        "_core.max_pool2d = refuse\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, _, err = profile(*FAST, "--isa", "baseline", "--shape", "mnist_pool1")
    assert (code, err) == (1, "pyconv: error: this is baseline\n")


def test_doubles_are_measured_as_doubles(tmp_path):
    found, out = measured(
        tmp_path, "--threads", 1, "--dtype", "float32,float64", "--shape", "mnist_pool1",
        "--passes", "forward",
    )  # fmt: skip
    single, double = found["rows"]
    assert (single["dtype"], double["dtype"]) == ("float32", "float64")
    assert double["bytes"] == 2 * single["bytes"]
    assert double["memory"] > 1.5 * single["memory"]
    assert "float64" in out


# The numbers


def test_the_peaks_are_computed_and_copied():
    assert _core.peak_multiply_adds(7) % 14 == 0
    assert _core.peak_multiply_adds(14) == 2 * _core.peak_multiply_adds(7)
    source, target = np.arange(1000, dtype=np.float32), np.zeros(1000, np.float32)
    _core.peak_copy(source, target)
    np.testing.assert_array_equal(source, target)
    target.flags.writeable = False
    for wrong in (target, target[:999], target.astype(float)):
        with pytest.raises((ValueError, TypeError)):
            _core.peak_copy(source, wrong)
    for steps in (-1, 2**31):
        with pytest.raises(ValueError, match="steps"):
            _core.peak_multiply_adds(steps)


def test_a_ratio_compares_the_times_of_one_round():
    ours, theirs = [1.0, 10.0, 2.0], [3.0, 20.0, 8.0]  # the machine was busy in the second round
    row = a_row(TASK, ours, torch={"NCHW": theirs}, reference={"": [50.0]})
    assert row.ratio("torch") == 3.0  # of 3, 2 and 4
    assert row.median("pyconv") == 2.0
    assert row.ratio("reference") == 50.0


def test_the_faster_layout_counts_and_is_named():
    ways = {"NCHW": [3.0, 3.0, 1.0], "channels_last": [2.0, 2.0, 9.0]}
    row = a_row(TASK, [1.0, 1.0, 1.0], torch=ways, onnxruntime={})
    assert (row.variant("torch"), row.median("torch")) == ("channels_last", 2.0)
    assert (row.variant("onnxruntime"), row.ratio("onnxruntime")) == (None, None)
    result = a_result(row)
    assert report.ratios_of(result, "onnxruntime") == []
    assert report.as_dict(result)["geometric_means"] == {"torch": 2.0}


def test_a_spread_is_that_of_the_samples_of_all_rounds():
    times = Times()
    assert times.spread is None
    times.add([4.0])
    assert times.spread is None
    times.add([5.0, 1.0])
    times.add([2.0, 3.0])
    assert times.rounds == [4.0, 3.0, 2.5]
    assert times.median == 3.0
    assert times.spread == pytest.approx((4 - 2) / 3)


def test_a_task_is_held_against_what_bounds_it():
    def rate(shape, seconds, dtype="float32"):
        row = a_row(Task(shape, "forward", 100, dtype), [seconds])
        return report.rate(row, a_result(row))

    assert rate("mnist_conv1", 1e-3) == pytest.approx((86.4, "GF/s", 0.864))
    assert rate("mnist_conv1", 1e-3, "float64") == pytest.approx((86.4, "GF/s", 1.728))
    assert rate("mnist_pool1", 1e-3) == pytest.approx((8.64, "GB/s", 0.864))


def test_the_mean_of_ratios_is_the_geometric_one():
    assert report.geometric_mean([2.0, 0.5]) == pytest.approx(1)
    assert report.geometric_mean([1.0, 8.0, 1.0]) == pytest.approx(2)


def test_the_last_line_says_what_a_training_step_consists_of():
    milliseconds = {
        "mnist_block1": 1.0, "mnist_affine1": 2.0, "mnist_affine2": 0.25, "mnist_update": 0.5,
        "mnist_train_step": 10.0,
    }  # fmt: skip
    chosen = tasks(list(milliseconds), list(PASSES))
    result = a_result(*(a_row(task, [milliseconds[task.shape] / 1e3]) for task in chosen))
    assert words.where_the_time_goes(result) == (
        "Of a training step of 10.00 ms, 40 % is the first affine layer, 20 % is the convolution "
        "with its ReLU and pooling, 5 % is the second affine layer, 5 % is the optimizer and 30 % "
        f"is {words.REST}."
    )
    without = a_result(*(row for row in result.rows if row.task.shape != "mnist_update"))
    assert words.where_the_time_goes(without) == (
        "Of the 16.50 ms that a call of each row takes, 61 % is mnist_train_step step, batch 100, "
        "12 % is mnist_affine1 forward, batch 100 and 12 % is mnist_affine1 backward, batch 100."
    )
    assert words.where_the_time_goes(a_result(result.rows[-1])) == (
        "A call of mnist_train_step step, batch 100 takes 10.00 ms."
    )


# Comparing


@pytest.mark.parametrize(
    ("before", "after", "noise", "beyond", "regression"),
    [
        (1.0, 1.2, 0.05, True, True),
        (1.0, 1.2, 0.25, False, False),
        (1.0, 1.08, 0.05, True, False),
        (1.0, 0.5, 0.25, True, False),
        (1.0, 0.9, 0.25, False, False),
        (1.0, 1.0, 0.0, False, False),
    ],
)
def test_a_change_is_held_against_noise(before, after, noise, beyond, regression):
    change = compare.Change((), before, after, noise)
    assert (change.is_beyond_noise, change.is_regression) == (beyond, regression)


@pytest.fixture
def old(tmp_path_factory):
    """A profile of one row, and the options that measure it."""
    found, _ = measured(
        tmp_path_factory.mktemp("old"), "--threads", 1, "--shape", "mnist_affine2",
        "--passes", "forward",
    )  # fmt: skip
    return found


OPTIONS = (*FAST, "--threads", 1, "--shape", "mnist_affine2", "--passes", "forward", "--compare")


@pytest.mark.parametrize(
    ("factor", "code", "says"),
    [
        (1e-6, 1, "of 1 rows 0 got faster and 1 slower than noise, 1 of these by more than 10%"),
        (1e6, 0, "of 1 rows 1 got faster and 0 slower than noise, 0 of these"),
    ],
)
def test_a_regression_is_told_and_is_the_exit_code(old, tmp_path, factor, code, says):
    changed = json.loads(json.dumps(old))
    changed["rows"][0]["median_seconds"]["pyconv"] *= factor
    file = tmp_path / "old.json"
    file.write_text(json.dumps(changed))
    found, out, err = profile(*OPTIONS, file)
    assert (found, err) == (code, "")
    assert says in out
    assert ("regression" in out.replace(str(file), "")) == (code == 1)


def test_rows_are_matched_by_all_that_they_are_of(old):
    rows = compare.rows_of(old)
    assert len(compare.changes(rows, rows)) == 1
    for name, other in [("threads", 2), ("isa", "none"), ("dtype", "float64"), ("batch", 7)]:
        changed = json.loads(json.dumps(old))
        changed["rows"][0][name] = other
        assert compare.changes(rows, compare.rows_of(changed)) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("not JSON", "is no JSON file of pyconv profile"),
        ("[]", "is no profile of format 2, which --compare takes"),
        ('{"format": 1, "rows": []}', "is no profile of format 2, which --compare takes, but of"),
        ('{"format": 2}', "is damaged: KeyError 'rows'"),
        ('{"format": 2, "rows": [{"median_seconds": 3}]}', "is damaged: TypeError"),
        ('{"format": 2, "rows": []}', "has no row of what these options measure"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_measured(content, says, tmp_path):
    file = tmp_path / "old.json"
    file.write_text(content)
    code, out, err = profile("--compare", file, "--threads", 1)
    assert (code, out) == (1, "")
    assert says in err
    assert str(file) in err
    assert err.count("\n") == 1
    code, _, err = profile("--compare", tmp_path / "none.json")
    assert code == 1
    assert "none.json" in err


def test_noise_is_both_spreads_together(old):
    new = json.loads(json.dumps(old))
    old["rows"][0]["spread"]["pyconv"], new["rows"][0]["spread"]["pyconv"] = 0.25, None
    (change,) = compare.changes(compare.rows_of(old), compare.rows_of(new))
    assert math.isclose(change.noise, 0.25)
