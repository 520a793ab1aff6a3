"""`pyconv profile`: what is measured, that it is right before it is timed, and the report."""

import importlib.util
import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

import pyconv
from pyconv import _core, cli
from pyconv.profiling import worker
from pyconv.profiling.calls import Call
from pyconv.profiling.ours import Pyconv, Reference
from pyconv.profiling.race import Side
from pyconv.profiling.shapes import PASSES
from pyconv.profiling.suite import PARTS_OF_A_STEP, SHAPES, SUITES, Task, tasks

# name: images (N, C, H, W), filters (FN, C, FH, FW), stride, pad
CONVOLUTIONS = {
    "mnist_conv1": ((100, 1, 28, 28), (30, 1, 5, 5), 1, 0),
    "resnet50_conv1": ((16, 3, 224, 224), (64, 3, 7, 7), 2, 3),
    "resnet50_res2a_2b": ((16, 64, 56, 56), (64, 64, 3, 3), 1, 1),
    "resnet50_res3b_2a": ((16, 512, 28, 28), (128, 512, 1, 1), 1, 0),
    "resnet50_res3_2b": ((16, 128, 28, 28), (128, 128, 3, 3), 1, 1),
    "resnet50_res4_2b": ((16, 256, 14, 14), (256, 256, 3, 3), 1, 1),
    "resnet50_res5_2b": ((16, 512, 7, 7), (512, 512, 3, 3), 1, 1),
    "resnet50_res3a_2b": ((16, 128, 56, 56), (128, 128, 3, 3), 2, 1),
    "resnet50_res4a_2c": ((16, 256, 14, 14), (1024, 256, 1, 1), 1, 0),
    "vgg_conv2_1": ((16, 64, 112, 112), (128, 64, 3, 3), 1, 1),
    "vgg_conv3_1": ((16, 128, 56, 56), (256, 128, 3, 3), 1, 1),
    "googlenet_5x5": ((16, 192, 28, 28), (32, 192, 5, 5), 1, 2),
    "deepspeech_conv1": ((16, 1, 700, 161), (32, 1, 20, 5), 2, 0),
    "mobilenet_pw6": ((16, 256, 28, 28), (256, 256, 1, 1), 1, 0),
    "mobilenet_dw3": ((16, 128, 56, 56), (128, 1, 3, 3), 1, 1),
    "mobilenet_dw5": ((16, 512, 14, 14), (512, 1, 3, 3), 1, 1),
}
# name: images (N, C, H, W), window, stride, pad
POOLINGS = {
    "mnist_pool1": ((100, 30, 24, 24), (2, 2), 2, 0),
    "mnist_avgpool1": ((100, 30, 24, 24), (2, 2), 2, 0),
    "resnet50_pool1": ((32, 64, 112, 112), (3, 3), 2, 1),
}
OTHERS = {
    "mnist_affine1", "mnist_affine2", "mnist_block1", "mnist_im2col", "mnist_predict",
    "mnist_relu1", "mnist_train_step", "mnist_update",
}  # fmt: skip
# one of each kind, small enough to be computed by anybody in no time
ONE_OF_EACH = ["mnist_conv1", "mobilenet_dw5", "mnist_pool1", "mnist_avgpool1", *sorted(OTHERS)]


pytestmark = pytest.mark.usefixtures("short_measurements")


def profile(*arguments):
    """Exit code, standard output and standard error of the command; one thread a side."""
    command = ["profile", "--threads", "1", "--repeat", "1", *map(str, arguments)]
    result = CliRunner().invoke(cli.app, command)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def shapes(names):
    return [word for name in names for word in ("--shape", name)]


def refusal(*arguments):
    """The one sentence that the command answers with."""
    code, out, err = profile(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("pyconv: error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Writes a file that every worker runs as it starts."""

    def write(code):
        (tmp_path / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return write


@pytest.fixture
def one_thread(set_threads):
    set_threads(1)


# What is measured


def test_the_suite_is_the_layers_of_well_known_networks():
    assert set(SHAPES) == {*CONVOLUTIONS, *POOLINGS, *OTHERS}
    for name, (images, filters, stride, pad) in CONVOLUTIONS.items():
        shape = SHAPES[name]
        assert (*shape.batches, *shape.image) == images
        assert (shape.filter_shape, shape.stride, shape.pad) == (filters, stride, pad)
        assert shape.passes == ("forward", "dx", "dw")
    for name, (images, window, stride, pad) in POOLINGS.items():
        shape = SHAPES[name]
        assert (*shape.batches, *shape.image) == images
        assert (shape.window, shape.stride, shape.pad) == (window, stride, pad)
        assert shape.passes == ("forward", "dx")
    assert SHAPES["mnist_predict"].batches == (1, 100)


@pytest.mark.parametrize("name", SHAPES)
def test_inputs_are_the_same_every_time_and_nowhere_zero(name):
    first, second = SHAPES[name].inputs(2), SHAPES[name].inputs(2)
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key])
        if key != "t":  # class labels
            assert array.dtype == np.float32
            if SHAPES[name].op != "update":  # a network's biases start at 0
                assert array.all()


def test_costs_count_every_multiplication_and_every_array_once():
    conv, pool = SHAPES["mnist_conv1"], SHAPES["mnist_pool1"]
    outputs = 100 * 30 * 24 * 24
    for which in conv.passes:
        cost = conv.cost(which, 100)
        assert cost.operations == outputs * 25 * 2
        assert cost.elements == 100 * 28 * 28 + 30 * 25 + outputs
    assert pool.cost("forward", 100).elements == outputs + outputs // 4
    assert Task("mnist_pool1", "forward", 100).bytes == 5 * outputs
    assert Task("mnist_pool1", "forward", 100, "float64").bytes == 10 * outputs
    affine = SHAPES["mnist_affine1"]
    forward, backward = (affine.cost(which, 100) for which in affine.passes)
    assert (2 * forward.operations, backward.operations) == (backward.operations, 4 * 43_200_000)
    assert forward.elements == 100 * (4320 + 100) + 432_100
    assert backward.elements == 100 * (2 * 4320 + 2 * 100) + 2 * 432_100
    assert SHAPES["mnist_update"].cost("step", 100).elements == 4 * (780 + 432_100 + 1_010)
    depthwise = SHAPES["mobilenet_dw5"].cost("forward", 1)
    assert depthwise.operations == 512 * 14 * 14 * 9 * 2
    step, predict = (SHAPES[f"mnist_{name}"] for name in ("train_step", "predict"))
    assert predict.cost("forward", 1).operations == 2 * (outputs // 100 * 25 + 432_000 + 1_000)
    assert step.cost("step", 1).operations == 2 * (2 * outputs // 100 * 25 + 3 * 433_000)


def test_tasks_are_the_wanted_passes_of_the_wanted_shapes():
    assert tasks(["mnist_conv1"], ["dw", "forward"]) == [
        Task("mnist_conv1", "forward", 100),
        Task("mnist_conv1", "dw", 100),
    ]
    assert [task.batch for task in tasks(["mnist_predict"], ["forward"])] == [1, 100]
    assert [task.batch for task in tasks(["mnist_predict"], ["forward"], batch=3)] == [3]
    assert {task.shape for task in tasks(SUITES["all"], list(PASSES))} == set(SHAPES)
    assert tasks(["mnist_update"], ["step"], 2, ["float64"]) == [
        Task("mnist_update", "step", 2, "float64")
    ]


def test_large_shapes_are_validated_with_a_few_images():
    assert Task("vgg_conv2_1", "forward", 16).for_validation().batch == 2
    assert Task("resnet50_pool1", "dx", 32).for_validation().batch == 7
    assert Task("mnist_conv1", "dw", 100).for_validation().batch == 100
    assert Task("mnist_predict", "forward", 1).for_validation().batch == 1


# Nothing wrong is timed


@pytest.mark.parametrize("task", tasks(ONE_OF_EACH, list(PASSES), batch=2), ids=str)
def test_pyconv_computes_what_the_reference_computes(task, one_thread):
    worker.validate(Pyconv(1), task)


def wrong_at_one_place(kernel):
    def wrong(*arguments):
        result = kernel(*arguments)
        results = result if isinstance(result, tuple) else (result,)
        array = next(a for a in results if a is not None)
        array.flat[-1] += 0.1 * abs(array).max()
        return result

    return wrong


@pytest.mark.parametrize(
    ("shape", "which", "kernel"),
    [
        ("mnist_conv1", "forward", "conv2d"),
        ("mobilenet_dw5", "dx", "conv2d_backward_data"),
        ("mnist_conv1", "dw", "conv2d_backward_weight"),
        ("mnist_pool1", "forward", "max_pool2d"),
        ("mnist_avgpool1", "dx", "avg_pool2d_backward"),
        ("mnist_im2col", "dx", "col2im"),
        ("mnist_predict", "forward", "affine"),
        ("mnist_train_step", "step", "conv2d_block_backward"),
        ("mnist_block1", "forward", "conv2d_block"),
        ("mnist_block1", "backward", "conv2d_block_backward"),
        ("mnist_relu1", "forward", "relu"),
        ("mnist_relu1", "dx", "relu_backward"),
        ("mnist_affine1", "forward", "affine"),
        ("mnist_affine2", "backward", "affine_backward"),
    ],
)
def test_a_wrong_kernel_is_refused(shape, which, kernel, monkeypatch, one_thread):
    monkeypatch.setattr(_core, kernel, wrong_at_one_place(getattr(_core, kernel)))
    with pytest.raises(ValueError, match=rf"{shape} {which}.* differs .*nothing is timed"):
        worker.validate(Pyconv(1), Task(shape, which, 2))


def test_a_wrong_step_of_the_optimizer_is_refused(monkeypatch, one_thread):
    right = _core.adam_step

    def wrong(param, *arguments):
        right(param, *arguments)
        param.flat[-1] += 1e-4  # a tenth of the learning rate

    monkeypatch.setattr(_core, "adam_step", wrong)
    with pytest.raises(ValueError, match=r"mnist_update step.* differs .*nothing is timed"):
        worker.validate(Pyconv(1), Task("mnist_update", "step", 2))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(lambda y: y[..., :-1], "has shape"), (lambda y: np.full_like(y, np.nan), "differs")],
)
def test_a_wrong_shape_or_a_nan_is_refused(spoil, says):
    class Wrong(Pyconv):
        def calls(self, shape, which, inputs):
            (call,) = Reference(1).calls(shape, which, inputs).values()
            return {"way": Call(call.run, lambda y: [spoil(y)])}

    task = Task("mnist_conv1", "forward", 2)
    with pytest.raises(ValueError, match=f"mnist_conv1 forward, batch 2 by Wrong way {says}"):
        worker.validate(Wrong(1), task)


def test_a_worker_that_computes_wrong_ends_the_run_with_a_sentence(site):
    site(
        "from pyconv import _core\n"
        "right = _core.conv2d\n"
        "_core.conv2d = lambda *arguments: right(*arguments) + 1\n"
    )
    sentence = refusal("--shape", "mnist_conv1", "--passes", "dx,forward", "--batch", 2)
    assert "mnist_conv1 forward, batch 2 by Pyconv differs from the reference" in sentence


@pytest.mark.parametrize(("end", "code"), [("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", -9)])
def test_a_worker_that_dies_ends_the_run_with_a_sentence(site, end, code):
    site(f"from pyconv import _core\nimport os\n_core.conv2d = lambda *arguments: {end}\n")
    sentence = refusal("--shape", "mnist_conv1", "--passes", "forward", "--batch", 2)
    assert f"the process of pyconv ended with code {code} " in sentence
    assert "mnist_conv1" in sentence


def test_what_a_library_prints_does_not_disturb_the_answers(site):
    site(
        "import os\n"
        "from pyconv import _core\n"
        "right = _core.conv2d\n"
        "_core.conv2d = lambda *a: (os.write(1, b'loud'), print('loud'), right(*a))[2]\n"
    )
    with Side("pyconv", 1) as side:
        assert side.ask("hello") == pyconv.__version__
        with side.forked():
            task = Task("mnist_conv1", "forward", 2)
            assert side.ask("prepare", task=task) == [""]
            assert all(seconds > 0 for seconds in side.ask("time", variant=""))
        with pytest.raises(ValueError, match="a worker does not know"):
            side.ask("dance")


# The command


def test_the_table_has_a_row_a_pass(tmp_path):
    target = tmp_path / "out.json"
    some = ["mnist_conv1", "mnist_im2col", *sorted(PARTS_OF_A_STEP), "mnist_train_step"]
    arguments = (*shapes(some), "--batch", 2, "--json", target)
    code, out, err = profile(*arguments)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    expected = tasks(some, list(PASSES), 2)
    rows = [line.split() for line in lines if line.split()[:1] and line.split()[0] in SHAPES]
    assert [(row[0], row[1], int(row[2]), "float32") for row in rows] == expected
    assert all("…" not in line for line in lines), "no number is cut off"
    assert "1 thread, " in lines[1]
    assert "GF/s of multiply-adds" in lines[1]
    assert lines[-2].startswith("geometric mean of the speed-ups: ")
    assert lines[-2].endswith(f"× reference ({len(expected)} rows)")
    assert lines[-1].startswith("Of a training step of ")
    assert "is the optimizer" in lines[-1]

    found = json.loads(target.read_text(encoding="utf-8"))
    assert found["format"] == 2
    assert set(found["machine"]) == {"cpu", "system"}
    (setting,) = found["settings"]
    assert (setting["threads"], setting["isa"]) == (1, pyconv.build_info()["isa"])
    assert setting["peak_gflops"] > 0
    assert setting["peak_copy_gbytes_per_s"] > 0
    assert found["build"]["isa"] == pyconv.build_info()["isa"]
    assert found["versions"]["pyconv"] == pyconv.__version__
    assert [(r["shape"], r["pass"], r["batch"], r["dtype"]) for r in found["rows"]] == expected
    for row in found["rows"]:
        assert row["op"] == SHAPES[row["shape"]].op
        assert row["rate"]["unit"] in ("GF/s", "GB/s")
        if not row["operations"]:  # of others the peaks, which are measured twice, decide
            assert row["rate"]["unit"] == "GB/s"
            assert row["cold_seconds"] > 0
        ours, theirs = (row["rounds"][side][""] for side in ("pyconv", "reference"))
        assert row["ratios"]["reference"] == theirs[0] / ours[0]
        assert row["median_seconds"] == {"pyconv": ours[0], "reference": theirs[0]}
        assert row["spread"]["pyconv"] >= 0
    ratios = [row["ratios"]["reference"] for row in found["rows"]]
    assert found["geometric_means"]["reference"] == pytest.approx(
        math.prod(ratios) ** (1 / len(ratios))
    )
    memory = {(row["shape"], row["pass"]): row["memory"] for row in found["rows"]}
    result = 4 * 2 * 30 * 24 * 24
    assert result <= memory["mnist_conv1", "forward"] < result + 10_000
    assert memory["mnist_update", "step"] < 10_000, "in place"


def test_without_rivals_pyconv_is_measured_alone():
    code, out, err = profile("--against", "", "--shape", "mnist_im2col", "--batch", 2)
    assert (code, err) == (0, "")
    assert "reference" not in out
    assert sum(line.split()[:1] == ["mnist_im2col"] for line in out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--shape", "resnet"],
            "there is no shape 'resnet'; there are mnist_conv1, mnist_relu1",
        ),
        (
            ["--passes", "forward,db"],
            "there is no pass 'db'; there are forward, dx, dw",
        ),
        (["--against", "numpy"], "there is no rival 'numpy'; --against takes reference, torch"),
        (["--shape", "mnist_pool1", "--passes", "dw"], "none of mnist_pool1 has a pass dw"),
        (["--passes", ","], "no pass was named; there are forward"),
        (["--json", "no-such-folder/out.json"], "there is no folder 'no-such-folder'"),
        (["--suite", "mnist,alexnet"], "there is no suite 'alexnet'; there are mnist, resnet50"),
        (["--op", "gemm"], "there is no op 'gemm'; there are conv, relu, pool"),
        (["--suite", "vgg", "--op", "pool"], "none of vgg_conv2_1, vgg_conv3_1 of op pool has a"),
        (["--dtype", "float16"], "there is no dtype 'float16'; there are float32, float64"),
        (["--threads", "1,two"], "from 1 to 1024 with commas, e.g. 1,2; 'two' is none"),
        (["--threads", "0"], "'0' is none"),
        (["--threads", ","], "--threads names no number"),
        (["--isa", "avx9"], "has no instruction set 'avx9'; there are baseline"),
        (["--isa", ""], "--isa names no instruction set; there are baseline"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does(arguments, says):
    assert says in refusal(*arguments)


@pytest.mark.parametrize(
    ("rival", "module", "install"),
    [
        ("torch", "torch", "torch"),
        ("torch.compile", "torch", "torch"),
        ("onnxruntime", "onnxruntime", "onnxruntime onnx"),
    ],
)
def test_a_rival_that_is_not_installed_is_answered_with_how_to(rival, module, install, site):
    site(f"import sys\nsys.modules[{module!r}] = None\n")
    sentence = refusal("--against", rival, "--shape", "mnist_conv1")
    assert f"{rival} needs {module}" in sentence
    assert f"pip install {install} " in sentence


@pytest.mark.parametrize(
    ("rival", "modules"), [("torch", ["torch"]), ("onnxruntime", ["onnxruntime", "onnx"])]
)
def test_rivals_compute_what_the_reference_computes(rival, modules):
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not here: pip install {module} to run this")
    both = "float32,float64"
    code, out, err = profile(
        "--against", rival, "--batch", 2, "--dtype", both, *shapes(ONE_OF_EACH)
    )
    assert (code, err) == (0, "")
    rows = [line for line in out.splitlines() if line.split()[:1] and line.split()[0] in SHAPES]
    computed = [row for row in rows if not row.rstrip().endswith("-")]
    forward = [row for row in rows if {"forward", "float32"} <= {*row.split()}]
    forward = [row for row in forward if "im2col" not in row]
    assert computed == (rows if rival == "torch" else forward)


def test_an_old_json_file_survives_a_run_that_fails(site, tmp_path):
    target = tmp_path / "out.json"
    target.write_text("before")
    site("from pyconv import _core\nimport os\n_core.conv2d = lambda *arguments: os._exit(7)\n")
    refusal("--shape", "mnist_conv1", "--json", target)
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.glob("*out.json*")] == ["out.json"]
