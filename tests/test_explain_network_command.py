"""`pyconv explain network`: its options, its files, and what it refuses."""

import re

import numpy as np
import pytest
from digits_network import NETWORK, TRACE, X, array
from typer.testing import CliRunner

import pyconv
from pyconv import recipes
from pyconv.cli import app
from pyconv.datasets import load_digits
from pyconv.explain.network_picture import save_network_picture
from pyconv.explain.trained import trained
from pyconv.layers import Affine
from pyconv.networks import DeepConvNet, Sequential
from pyconv.tables import shape_text


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "weights.npz"
    NETWORK.save_params(file)
    return str(file)


def explain(*options, code=0):
    found = CliRunner().invoke(app, ["explain", "network", *map(str, options)])
    assert found.exit_code == code, found.output
    return found.stdout if code == 0 else found.stderr


def test_the_command_shows_the_digit_of_that_index(weights):
    _, (x, t) = load_digits()
    out = explain(weights, "--index", 7)
    guess = int(NETWORK.predict(x[7:8]).argmax())
    assert f"The network says {guess}," in out
    assert ("That is right." if guess == t[7] else f"It is {t[7]}.") in out
    assert "Conv1    (1,30,24,24)" in out
    assert weights in out.replace("\n", "")
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_the_command_takes_an_image(weights, tmp_path):
    np.save(tmp_path / "three.npy", X[0])
    out = explain(weights, "--image", tmp_path / "three.npy", "--lang", "ko")
    guess = int(NETWORK.predict(X[:1]).argmax())
    assert f"신경망의 답은 {guess}," in out
    assert "정답" not in out


def test_the_command_writes_a_page_with_digits_to_choose_from(weights, tmp_path):
    out = explain(weights, "--html", tmp_path / "net.html", "--index", 2, "--lang", "ko")
    text = (tmp_path / "net.html").read_text("utf-8")
    assert '<html lang="ko">' in text
    assert '"shape":[4,30,24,24]' in text
    assert f'"labels":{load_digits()[1][1][2:6].tolist()}'.replace(" ", "") in text
    assert "net.html" in out.replace("\n", "")


def test_the_command_draws_a_picture(weights, tmp_path):
    explain(weights, "--picture", tmp_path / "net.svg")
    drawn = (tmp_path / "net.svg").read_text("utf-8")
    texts = re.findall(r"<text [^>]*>([^<]*)</text>", drawn)
    shapes = [shape_text((1, *step.shape[1:])) for step in TRACE]
    assert [text for text in texts if text.startswith("(")] == shapes
    assert {"Conv1", "W1, b1", "W3, b3", "Softmax"} <= {*texts}
    error = explain(weights, "--picture", tmp_path / "net.pdf", code=1)
    assert "a picture is written as .png or .svg" in error


@pytest.mark.parametrize(
    "network",
    [DeepConvNet(rng=0), Sequential([Affine(array(4, 300))], (4,))],
)
def test_networks_of_ones_own_are_drawn(network, tmp_path):
    trace = pyconv.explain.network(network, array(2, *network.input_dim))
    save_network_picture(trace, tmp_path / "net.png")
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")


def test_without_weights_a_network_is_trained_and_not_that_of_this_folder(
    monkeypatch, tmp_path, away_from_home
):
    short = recipes.DATA_SETS["digits"]._replace(epochs=1)
    monkeypatch.setitem(recipes.DATA_SETS, "digits", short)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.npz").write_text("not even weights")
    monkeypatch.setenv("COLUMNS", "40")
    out = explain()
    assert max(map(len, out.splitlines())) <= 40
    out = " ".join(out.split())
    network, accuracy = trained({})
    assert out.startswith(f"Trained on the digits that come with pyconv: {100 * accuracy:.1f} %")
    assert out.count("SimpleConvNet") == 1
    assert f"The network says {network.predict(load_digits()[1][0][:1]).argmax()}," in out
    assert [path.name for path in tmp_path.iterdir()] == ["weights.npz"]


def test_the_convolution_of_the_network_trained_here_moves_as_it_is_told(monkeypatch):
    short = recipes.DATA_SETS["digits"]._replace(epochs=1)
    monkeypatch.setitem(recipes.DATA_SETS, "digits", short)
    out = explain("--stride", 2, "--pad", "1,0", "--dilation", 2, "--batch", 3)
    # (28 + 2 - 9) // 2 + 1, (28 - 9) // 2 + 1
    assert "Conv1    (3,30,11,10)" in out
    assert "⌊(28 + 2 − 9) / 2⌋ + 1 =" in out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["weights.npz", "--pad", "1", "--stride", "2"],
            "weights.npz says how its network convolves; leave out --stride, --pad",
        ),
        (["--dilation", "x"], "--dilation takes a whole number or height,width, and not 'x'"),
        (["--index", 359], "--index is 359, but digits has 359 images, counted from 0"),
        (["--index", 358, "--batch", 2], "digits has 359 images, and 2 from 358 on are asked for"),
        (["--data", "digits", "--image", "x.npy"], "give --image or --data, and not both"),
        (["--data", "letters"], "--data takes digits, mnist, fashion or a folder"),
        (["--image", "nothing.png"], "there is no image file 'nothing.png'"),
        (["--html", "z.svg", "--picture", "./z.svg"], "two things cannot both be written to z.svg"),
        (["--html", "nowhere/net.html"], "there is no folder 'nowhere' to write net.html to"),
    ],
)
def test_bad_options_are_answered_before_anything_is_trained(options, sentence, monkeypatch):
    monkeypatch.setattr(
        "pyconv.explain.network_command.trained", lambda moves: pytest.fail("trained")
    )
    assert sentence in explain(*options, code=1)


def test_a_convolution_s_page_and_picture_are_not_the_same_file_either(tmp_path):
    target = str(tmp_path / "z.svg")
    found = CliRunner().invoke(app, ["explain", "conv", "--html", target, "--picture", target])
    assert found.exit_code == 1
    assert "two things cannot both be written to z.svg" in found.stderr
    assert not list(tmp_path.iterdir())


def test_weights_that_fit_no_image_are_refused(tmp_path):
    Sequential([Affine(array(4, 2))], (4,)).save_params(tmp_path / "rows.npz")
    error = explain(tmp_path / "rows.npz", code=1)
    assert "x has shape (1, 1, 28, 28), but Sequential takes a batch (N, 4)" in error
    np.save(tmp_path / "x.npy", X[0])
    error = explain(tmp_path / "rows.npz", "--image", tmp_path / "x.npy", code=1)
    assert "does not say what images (C, H, W) its network takes" in error
