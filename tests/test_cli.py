"""The `pyconv` command, run as people run it: in a pipe, on a terminal, with the wrong file."""

import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pyconv import Trainer, cli, datasets, weights
from pyconv.networks import Sequential, SimpleConvNet

COMMAND = Path(sys.executable).with_name("pyconv")
FILES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
FILES += [name.replace("train", "t10k") for name in FILES]
OURS = ("PYCONV_", "OMP_", "COLUMNS", "TERM", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_")
BLOCK = "import os, sys\nsys.modules.update(dict.fromkeys(os.environ['BLOCKED'].split()))\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder where the data set data/ lies: images 8×8 whose row 2k is bright for class k."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "data").mkdir()
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(BLOCK)
    rng = np.random.default_rng(0)
    for images, labels, count in ((*FILES[:2], 40), (*FILES[2:], 12)):
        t = np.arange(count, dtype=np.uint8) % 3
        x = rng.integers(0, 60, (count, 8, 8), np.uint8)
        x[np.arange(count), 2 * t] += 190
        for name, array in ((images, x), (labels, t)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / "data" / name).write_bytes(head + array.tobytes())
    (folder / "mnist").symlink_to("data")
    return folder


def started(folder, *arguments, blocked="matplotlib", **options):
    """The command, as a process in `folder` that cannot import what is blocked."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    env = inherited | {"PYTHONPATH": str(folder / "site"), "BLOCKED": blocked}
    env["OMP_NUM_THREADS"] = "1"  # the images are few and small
    env |= options.pop("env", {})
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)], cwd=folder, env=env, text=True, encoding="utf-8",
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        | options,
    )  # fmt: skip


def pyconv(folder, *arguments, **options):
    """Exit code, lines on standard output, lines on standard error."""
    with started(folder, *arguments, **options) as process:
        out, err = process.communicate(timeout=100)
    out = out or ""  # where it does not go to a pipe of ours
    assert "Traceback" not in err
    assert "\x1b" not in out + err
    return process.returncode, out.splitlines(), err.splitlines()


@pytest.fixture
def called(folder, monkeypatch):
    """What `pyconv` above returns, of calls in this process, which need not be started."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PYCONV_DATA", raising=False)

    def call(*arguments):
        result = CliRunner().invoke(cli.app, arguments, prog_name="pyconv")
        return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()

    return call


def train(folder, out, *arguments, **options):
    given = ("--data", "data", "--epochs", 1, "--out", out, *arguments)
    code, lines, errors = pyconv(folder, "train", *given, **options)
    assert (code, errors) == (0, [])
    return lines


@pytest.fixture(scope="module")
def trained(folder):
    """What a training of two epochs printed; its weights are w.npz in `folder`."""
    return train(folder, "w.npz", "--epochs", 2, "--lr", 0.01, "--batch-size", 4)


def read(folder):
    return datasets.load_folder(folder / "data")


# Training


def test_training_on_digits_ends_with_weights_and_two_pictures(folder):
    pytest.importorskip("matplotlib")
    code, lines, errors = pyconv(folder, "train", "--epochs", 1, blocked="")
    assert (code, errors) == (0, [])
    assert lines[0].endswith("(N,1,28,28) → (N,30,24,24) → (N,30,12,12) → (N,100) → (N,10)")
    assert lines[-1] == "pictures      weights-curves.png, weights-filters.png"
    for name in ("weights-curves.png", "weights-filters.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    (_, _), (x, t) = datasets.load_digits()
    accuracy = Sequential.load(folder / "weights.npz").accuracy(x, t)
    assert lines[-3] == f"test accuracy {accuracy:.2%}"


def test_training_in_a_pipe_prints_plain_lines(trained):
    text = "\n".join(trained)
    assert not set("\r━█") & set(text)
    assert trained[0].startswith("SimpleConvNet: (N,1,8,8) → (N,30,4,4) → (N,30,2,2) → (N,100)")
    assert re.search("data: 40 images to train on, 12 to test on\nepoch 1/2: loss", text)
    epochs = [line for line in trained if line.startswith("epoch")]
    assert len(epochs) == 2
    assert all("images/s" in line and "accuracy train" in line for line in epochs)
    assert trained[-2] == "weights       w.npz"


def test_without_matplotlib_training_says_that_there_are_no_pictures(folder, trained):
    assert trained[-1] == "pictures      none: they need matplotlib (pip install matplotlib)"
    assert not list(folder.glob("w-*.png"))


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"])
def test_every_option_reaches_the_training(folder, optimizer):
    options = {"optimizer": optimizer.lower(), "lr": 0.002, "batch-size": 7, "seed": 5}
    train(folder, "o.npz", *(part for k, v in options.items() for part in (f"--{k}", v)))
    training, _ = weights.load_training(folder / "o.npz")
    assert training["optimizer"] == optimizer
    assert training["optimizer_settings"]["lr"] == 0.002
    assert (training["mini_batch_size"], training["samples"], training["epoch"]) == (7, 40, 1)
    assert training["notes"]["seed"] == 5


def test_the_deep_network_trains_the_same_from_the_same_seed(folder):
    def params(out, seed):
        train(folder, out, "--network", "deep", "--seed", seed)
        network = Sequential.load(folder / out)
        assert network.name == "DeepConvNet"
        return b"".join(array.tobytes() for array in network.params.values())

    assert params("a.npz", 1) == params("b.npz", 1) != params("c.npz", 2)


def test_resume_goes_on_and_keeps_the_options(folder, trained):
    before = (folder / "w.npz").read_bytes()
    code, lines, _ = pyconv(
        folder, "train", "--resume", "w.npz", "--epochs", 3, "--out", "r.npz", "--lr", 0.01
    )
    assert code == 0
    assert lines[0] == "going on with w.npz after epoch 2"
    assert [line[:10] for line in lines if line.startswith("epoch")] == ["epoch 3/3:"]
    assert (folder / "w.npz").read_bytes() == before
    assert weights.load_training(folder / "r.npz")[0]["epoch"] == 3
    code, lines, _ = pyconv(folder, "train", "--resume", "r.npz", "--epochs", 3)
    assert code == 0
    assert "r.npz has 3 epochs already; use a larger --epochs to go on" in lines
    code, _, _ = pyconv(folder, "train", "--resume", "r.npz", "--epochs", 3, "--out", "copy.npz")
    assert code == 0
    assert (folder / "copy.npz").read_bytes() == (folder / "r.npz").read_bytes()


def test_a_training_that_diverges_says_so_and_keeps_the_weights_of_before(folder, trained):
    (folder / "n.npz").write_bytes((folder / "w.npz").read_bytes())
    given = ("--data", "data", "--lr", 1e10, "--batch-size", 4, "--out", "n.npz")
    code, _, errors = pyconv(folder, "train", *given)
    assert code == 1
    (error,) = errors
    assert re.match(
        "pyconv: error: .* in step .*training has stopped.*smaller learning rate", error
    )
    assert (folder / "n.npz").read_bytes() == (folder / "w.npz").read_bytes()


def test_an_interrupt_after_an_epoch_leaves_a_checkpoint_to_go_on_from(folder):
    with started(
        folder, "train", "--data", "data", "--epochs", 10**6, "--out", "i.npz",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # not as it is inherited
    ) as process:  # fmt: skip
        next(line for line in process.stdout if line.startswith("epoch 2/"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    epoch = weights.load_training(folder / "i.npz")[0]["epoch"]
    assert epoch >= 2
    assert err == f"\ninterrupted: i.npz holds epoch {epoch}; go on with --resume i.npz\n"
    assert not list(folder.glob("*.part"))
    lines = pyconv(folder, "train", "--resume", "i.npz", "--epochs", epoch + 1)[1]
    assert lines[0] == f"going on with i.npz after epoch {epoch}"


def test_an_interrupt_before_the_training_has_its_exit_code_too(monkeypatch, folder):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load_folder", interrupted)
    options = ["--data", str(folder / "data"), "--out", str(folder / "never.npz")]
    run = CliRunner().invoke(cli.app, ["train", *options])
    assert (run.exit_code, run.stderr) == (130, "\ninterrupted\n")


def test_data_sets_by_name_come_from_the_folder_in_the_environment(folder):
    lines = train(folder, "m.npz", "--data", "mnist", env={"PYCONV_DATA": str(folder)})
    assert "mnist: 40 images to train on, 12 to test on" in lines
    training, _ = weights.load_training(folder / "m.npz")
    assert (training["mini_batch_size"], training["shift"]) == (100, 1), "MNIST's own recipe"


def test_the_real_mnist_is_read(folder, mnist_dir):
    """The learning rate is refused once the data are read."""
    given = ("--data", "mnist", "--lr", "nan", "--out", "never.npz")
    code, _, errors = pyconv(folder, "train", *given, env={"PYCONV_DATA": str(mnist_dir.parent)})
    assert (code, errors) == (1, ["pyconv: error: lr must be at least 0 and finite, not nan"])


# Prediction and summary

LONG = f"three-{'long-' * 20}.npy"  # longer than a terminal is wide


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_predict_prints_the_networks_probabilities(folder, trained, kind):
    network, x = Sequential.load(folder / "w.npz"), read(folder)[1][0][:3]
    if kind == "npy":
        np.save(folder / LONG, x)
        names = [f"{LONG}[0]", f"{LONG}[1]", f"{LONG}[2]"]
    else:
        Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
        names = ["0.png", "1.png", "2.png"]
        for name, image in zip(names, x, strict=True):
            Image.fromarray((255 * image[0]).round().astype(np.uint8)).save(folder / name)
    files = [LONG] if kind == "npy" else names
    code, lines, errors = pyconv(folder, "predict", "w.npz", *files)
    assert (code, errors) == (0, [])
    scores = np.exp(network.predict(x).astype(float))
    rows = [line.split() for line in lines if line.strip()][-3:]
    for (name, digit, *percent), score, wanted in zip(rows, scores, names, strict=True):
        shown = np.array(percent, float)
        assert (name, int(digit), len(shown)) == (wanted, score.argmax(), 10)
        assert shown.sum() == pytest.approx(100, abs=0.6)  # ten numbers rounded to 0.1
        assert shown == pytest.approx(100 * score / score.sum(), abs=0.051)


def test_predict_tells_how_a_picture_was_changed(folder, trained):
    Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
    Image.new("L", (20, 10), 255).save(folder / "paper.png")
    code, _, errors = pyconv(folder, "predict", "w.npz", "paper.png")
    assert code == 0
    assert [error.split(":")[1][:9] for error in errors] == [" resized ", " inverted"]


@pytest.mark.parametrize(
    ("arguments", "flow"),
    [
        ([], "SimpleConvNet: (N,1,28,28) → (N,30,24,24) → (N,30,12,12) → (N,100) → (N,10)"),
        (["--network", "deep"], "DeepConvNet: (N,1,28,28) → (N,16,28,28) → (N,16,14,14) → "),
        (["w.npz"], "SimpleConvNet: (N,1,8,8) → (N,30,4,4) → (N,30,2,2) → (N,100) → (N,10)"),
    ],
)
def test_summary_prints_the_shape_flow_on_one_line(folder, trained, arguments, flow):
    code, lines, errors = pyconv(folder, "summary", *arguments)
    assert (code, errors) == (0, [])
    assert lines[0].startswith(flow)
    assert any(line.split()[:2] == ["Affine2", "(N,10)"] for line in lines)


def test_a_terminal_without_arrows_gets_question_marks(folder):
    code, lines, errors = pyconv(folder, "summary", env={"PYTHONIOENCODING": "ascii"})
    assert (code, errors) == (0, [])
    assert lines[0].startswith("SimpleConvNet: (N,1,28,28) ? (N,30,24,24) ? ")


# On a terminal


def on_terminal(folder, *arguments):
    """What a terminal of 80 columns gets, and the same without control sequences."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = started(folder, *arguments, **streams, env={"TERM": "xterm-256color"})
    os.close(theirs)
    received = b""
    try:
        while part := os.read(ours, 4096):
            received += part
    except OSError:  # Linux: the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    text = received.decode()
    return text, re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text).splitlines()


def test_a_terminal_shows_a_bar_while_training_and_a_line_for_each_epoch(folder):
    text, lines = on_terminal(folder, "train", "--data", "data", "--epochs", 2, "--out", "t.npz")
    assert "━" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is there again
    for epoch in (1, 2):
        (line,) = (line for line in lines if line.startswith(f"epoch {epoch}/2: loss "))
        assert line.rstrip().endswith("images/s")  # on one line
    assert lines[-1].startswith("pictures ")


def test_tables_fit_80_columns(folder, trained):
    np.save(folder / "digit.npy", read(folder)[1][0][:1])
    np.save(folder / "a-name-as-long-as-many.npy", read(folder)[1][0][:1])
    predict = ("predict", "w.npz", "digit.npy", "a-name-as-long-as-many.npy")
    _, lines = on_terminal(folder, *predict)
    assert max(map(len, lines)) <= 80
    (row,) = (line for line in lines if "digit.npy" in line)
    assert len(row.split()) == 12  # name, digit and ten probabilities on one line
    assert "…" not in "".join(lines)
    _, lines = on_terminal(folder, "summary", "--network", "deep")
    assert max(map(len, lines[1:])) <= 80
    assert "…" not in "".join(lines)


# Errors


@pytest.fixture(scope="module")
def useless(folder):
    """Files that are there but not what the command wants."""
    (folder / "site.npz").mkdir()
    (folder / "text.npz").write_text("a text")
    np.save(folder / "wrong.npy", np.zeros((9, 9)))
    network, (train_set, test_set) = SimpleConvNet((1, 8, 8), rng=0), read(folder)
    network.save_params(folder / "plain.npz")
    Trainer(network, *train_set, *test_set).save(folder / "api.npz")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("train --data nowhere", "--data takes digits, mnist, fashion or a folder of four IDX"),
        ("train --data site", "The folder .*site lacks train-images-idx3-ubyte.gz"),
        ("train --out w.pkl", r"'w\.pkl' does not end in \.npz"),
        ("train --out no/w.npz", r"there is no folder 'no' to write w\.npz to"),
        ("train --out text.npz", r"will not overwrite text\.npz, which is no weight file: "),
        ("train --out site.npz", r"'site\.npz' is a folder: name a file in it"),
        ("train --lr nan", "lr must be at least 0 and finite, not nan"),
        ("train --resume none.npz", r"there is no weight file 'none\.npz'"),
        ("train --resume text.npz", r"text\.npz is not a readable weight file"),
        ("train --resume plain.npz", r"plain\.npz holds weights alone"),
        ("train --resume api.npz", r"api\.npz was not written by 'pyconv train'"),
        ("train --resume w.npz --optimizer sgd", "--optimizer sgd differs from adam, with which"),
        ("train --resume w.npz --batch-size 5", "--batch-size 5 differs from 4.*leave it out"),
        ("predict none.npz w.npz", r"there is no weight file 'none\.npz'"),
        ("predict text.npz w.npz", r"text\.npz is not a readable weight file"),
        ("predict w.npz none.npy", r"there is no image file 'none\.npy'"),
        ("predict w.npz wrong.npy", r"wrong\.npy holds an array of shape \(9, 9\)"),
        ("predict w.npz text.npz", r"text\.npz is not a readable picture|needs Pillow"),
        ("summary w.npz --network deep", r"w\.npz says which .*; leave out --network deep$"),
        ("summary text.npz", r"text\.npz is not a readable weight file"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_1(
    folder, called, trained, useless, arguments, says
):
    code, lines, errors = called(*arguments.split())
    assert (code, lines, len(errors)) == (1, [], 1)
    assert re.match(f"pyconv: error: .*{says}", errors[0])
    assert (folder / "text.npz").read_text() == "a text"


def test_without_pillow_predict_says_how_to_get_it(folder, trained):
    (folder / "a.png").write_bytes(b"")
    code, _, errors = pyconv(folder, "predict", "w.npz", "a.png", blocked="PIL")
    assert (code, len(errors)) == (1, 1)
    assert re.match("pyconv: error: reading a.png needs Pillow: .*pip install pillow", errors[0])


USAGE = {0: ["--help", "train --help"]}
USAGE[2] = ["", "trane", "predict", "predict w.npz"]
USAGE[2] += ["train --epochs 0", "train --optimizer best", "train --seed -1"]


@pytest.mark.parametrize(("code", "arguments"), [(c, a) for c, all in USAGE.items() for a in all])
def test_exit_codes_of_help_and_wrong_usage(called, code, arguments):
    found, lines, errors = called(*arguments.split())
    assert found == code
    assert "Usage: pyconv" in "".join(lines + errors)


def test_a_reader_that_has_gone_makes_no_traceback(folder):
    reader, writer = os.pipe()
    os.close(reader)
    code, _, errors = pyconv(folder, "summary", stdout=writer)
    os.close(writer)
    assert (code, errors) == (1, [])


def test_a_reader_that_stops_reading_ends_the_training_quietly(folder):
    given = ("--data", "data", "--epochs", 10**6, "--out", "p.npz")
    with started(folder, "train", *given) as process:
        next(line for line in process.stdout if line.startswith("epoch 1/"))
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_only_the_first_line_can_be_read():
    line = subprocess.run(f"'{COMMAND}' summary | head -1", shell=True, capture_output=True)
    assert (line.returncode, line.stderr) == (0, b"")
    assert line.stdout.startswith(b"SimpleConvNet: ")
