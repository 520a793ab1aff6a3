"""pyconv.explain.network and `pyconv explain network`: the trace, the walk, pictures, options."""

import copy
import io

import numpy as np
import pytest
from digits_network import NETWORK, RNG, TRACE, X, array
from rich.console import Console
from trainings import everything, run, trainer

import pyconv
from pyconv.explain.half_blocks import drawn, small
from pyconv.explain.network_text import print_pictures, print_walk
from pyconv.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Pooling,
    Relu,
    Sigmoid,
)
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet

# The trace


def test_the_steps_are_those_of_the_deck_with_their_shapes():
    assert [(step.name, step.shape) for step in TRACE] == [
        ("Input", (2, 1, 28, 28)),
        ("Conv1", (2, 30, 24, 24)),
        ("Relu1", (2, 30, 24, 24)),
        ("Pool1", (2, 30, 12, 12)),
        ("Affine1", (2, 100)),
        ("Relu2", (2, 100)),
        ("Affine2", (2, 10)),
        ("Softmax", (2, 10)),
    ]
    assert TRACE.title == "SimpleConvNet"
    assert [list(step.parameters) for step in TRACE if step.parameters] == [
        ["W1", "b1"], ["W2", "b2"], ["W3", "b3"],
    ]  # fmt: skip


def test_the_arrays_are_what_the_kernels_compute_layer_by_layer():
    p = NETWORK.params
    conv = pyconv.conv2d(X, p["W1"], p["b1"])
    pooled, argmax = pyconv.max_pool2d(pyconv.relu(conv), 2, 2, 2)
    hidden = pyconv.affine(pooled.reshape(2, -1), p["W2"], p["b2"])
    scores = pyconv.affine(pyconv.relu(hidden), p["W3"], p["b3"])
    expected = {
        "Input": X, "Conv1": conv, "Relu1": pyconv.relu(conv), "Pool1": pooled, "Affine1": hidden,
        "Relu2": pyconv.relu(hidden), "Affine2": scores,
    }  # fmt: skip
    for name, found in expected.items():  # another test may have set the number of threads
        np.testing.assert_allclose(TRACE[name].array, found, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(TRACE["Pool1"].argmax, argmax)
    assert TRACE["Conv1"].argmax is None
    odds = np.exp(scores.astype(np.float64))
    np.testing.assert_allclose(TRACE["Softmax"].array, odds / odds.sum(1, keepdims=True), rtol=1e-5)


def test_what_is_done_later_does_not_change_the_trace():
    x, made = X.copy(), copy.deepcopy(NETWORK)
    trace = pyconv.explain.network(made, x)
    x[:], made.params["W1"][:] = 0, 0
    np.testing.assert_array_equal(trace["Input"].array, X)
    np.testing.assert_array_equal(trace["Conv1"].parameters["W1"], NETWORK.params["W1"])


def test_a_network_in_training_stays_as_it_is():
    training, twin = (run(trainer(), 3) for _ in range(2))
    made = training.network
    held = {name: layer.held() for name, layer in made.layers.items()}
    gradients = {name: layer.dW for name, layer in made.layers.items() if layer.parameters}
    trace = pyconv.explain.network(made, training.x_test)
    assert trace["Conv1"].layer is not made.layers["Conv1"]
    assert everything(training) == everything(twin)
    assert made.fused
    for name, layer in made.layers.items():
        assert all(a is b for a, b in zip(layer.held(), held[name], strict=True))
        assert name not in gradients or layer.dW is gradients[name]
    assert everything(run(training, 2)) == everything(run(twin, 2))


def test_any_network_has_a_trace():
    layers = [
        Convolution(array(4, 3, 3, 3), array(4), stride=(2, 1), pad=((1, 2), (0, 0)), dilation=2),
        BatchNormalization(np.ones(4, np.float32), np.zeros(4, np.float32)),
        Sigmoid(),
        Pooling(2, 2, stride=2, ceil_mode=True),
        Dropout(0.25),
        Flatten(),
        Affine(array(36, 3)),
    ]
    made = Sequential(layers, (3, 10, 9), "Mine")
    trace = pyconv.explain.network(made, RNG.random((2, 3, 10, 9), np.float32))
    assert {step.name: step.rule for step in trace} == {
        "Input": "2 images of 3 channels with 10×9 pixels: (N,C,H,W)",
        "Conv1": "OH = ⌊(H + P − ((FH − 1)·2 + 1)) / S⌋ + 1 = (10 + 3 − 5) / 2 + 1 = 5\n"
        "OW = ⌊(W + 2·P − ((FW − 1)·2 + 1)) / S⌋ + 1 = (9 + 0 − 5) / 1 + 1 = 5\n"
        "each filter adds up over all its channels, C = 3, so C is gone; FN = 4 stands in its "
        "place, as the channels from here on",
        "BatchNorm1": "the shape stays",
        "Sigmoid1": "1 / (1 + exp(−x)) of each number, so the shape stays",
        "Pool1": "OH = ⌈(H + 2·P − PH) / S⌉ + 1 = ⌈(5 + 0 − 2) / 2⌉ + 1 = 3\n"
        "OW = ⌈(W + 2·P − PW) / S⌉ + 1 = ⌈(5 + 0 − 2) / 2⌉ + 1 = 3\n"
        "every channel by itself, so C = 4 stays\n"
        "what is outside of the image counts as −∞, so it never wins",
        "Dropout1": "nothing is dropped in prediction: each number times 0.75, so the shape stays",
        "Flatten1": "flattened, so that each sample is a row: (2,4,3,3) becomes (2,36), 4·3·3 = 36",
        "Affine1": "(2,36) times W3 (36,3) is (2,3)\n"
        "these are the scores, one for each class",
        "Softmax": "exp of each score, divided by the sum of its row: probabilities that add up to "
        "1",
    }  # fmt: skip


def test_the_windows_are_as_many_as_a_pooling_that_rounds_up_makes():
    made = Sequential([Pooling(3, 2, stride=2, ceil_mode=True), Flatten()], (2, 8, 7))
    step = pyconv.explain.network(made, array(1, 2, 8, 7))["Pool1"]
    assert step.windows.output_size == step.shape[2:] == (4, 4)
    assert step.windows.matrix_shape == (16, 12)
    assert step.windows.where(15, 1) == "padding"
    assert step.windows.uses(0, 1, 7, 6).rows.tolist() == [15]


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ((6, 2), "2 groups: each filter adds up over the C/groups = 4/2 = 2 channels of its group "
         "(f = 0–2 ← c = 0–1, f = 3–5 ← c = 2–3); FN = 6 stands"),
        ((4, 1), "= 4/4 = 1 channels of its group (f = 0 ← c = 0, f = 1 ← c = 1, …); FN = 4"),
    ],
)  # fmt: skip
def test_filters_of_groups_add_up_over_the_channels_of_their_group(filters, sentence):
    layer = Convolution(array(*filters, 2, 2), groups=4 // filters[1])
    trace = pyconv.explain.network(Sequential([layer, Flatten()], (4, 3, 3)), array(1, 4, 3, 3))
    assert sentence in trace["Conv1"].rule


@pytest.mark.parametrize(
    ("pooling", "sentence"),
    [
        (Pooling(2, 2, pad=1), "counts as −∞, so it never wins"),
        (Pooling(2, 2, pad=1, mode="average"), "own pixels alone"),
        (Pooling(2, 2, stride=2, mode="average", ceil_mode=True), "own pixels alone"),
        (
            Pooling(4, 4, stride=3, pad=1, mode="average", ceil_mode=True, count_include_pad=True),
            "what is beyond the padding does not count",
        ),
        (Pooling(2, 2, pad=1, mode="average", count_include_pad=True), "counts as 0 in the mean"),
        (Pooling(2, 2), "so C = 2 stays"),
        (Pooling(2, 2, stride=3, pad=((0, 1), (0, 0))), "so C = 2 stays"),  # reaches no padding
    ],
)
def test_a_pooling_tells_what_padding_counts_as(pooling, sentence):
    trace = pyconv.explain.network(Sequential([pooling, Flatten()], (2, 5, 5)), array(1, 2, 5, 5))
    assert sentence in trace["Pool1"].rule.splitlines()[-1]


def test_the_rules_are_those_of_the_deck():
    assert "(28 + 0 − 5) / 1 + 1 = 24" in TRACE["Conv1"].rule
    assert "(24 + 0 − 2) / 2 + 1 = 12" in TRACE["Pool1"].rule
    assert TRACE["Affine1"].rule == (
        "flattened, so that each sample is a row: (2,30,12,12) becomes (2,4320), 30·12·12 = 4320\n"
        "(2,4320) times W2 (4320,100) is (2,100), plus b2"
    )
    korean = pyconv.explain.network(NETWORK, X, "ko")
    assert "C(= 1)는 사라지고" in korean["Conv1"].rule
    assert korean.lang == "ko"


def test_labels_number_the_pixels_of_a_map():
    assert TRACE["Pool1"].labels[1, 29, 11, 11] == "D143"
    assert TRACE["Affine1"].labels[1, 99] == "D99"


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: pyconv.explain.network(NETWORK.layers, X), TypeError, "must be a pyconv.networks"),
        (lambda: pyconv.explain.network(NETWORK, X[:, :, 1:]), ValueError, r"\(2, 1, 27, 28\)"),
        (lambda: pyconv.explain.network(NETWORK, X[:0]), ValueError, "an empty batch shows"),
        (lambda: pyconv.explain.network(NETWORK, X.astype(float)), TypeError, "x is float64"),
        (lambda: pyconv.explain.network(NETWORK, X, "fr"), ValueError, "'en' or 'ko', not 'fr'"),
        (
            lambda: pyconv.explain.network(Sequential([Relu()]), X),
            ValueError,
            r"ends in \(2,1,28,28\), but a softmax takes rows",
        ),
        (lambda: TRACE["conv1"], KeyError, "no step 'conv1'; the steps are Input, Conv1"),
    ],
)
def test_what_cannot_be_explained_is_answered_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_numbers_that_cannot_be_shown_are_refused_by_their_layer_s_name():
    broken = SimpleConvNet(rng=0)
    broken.params["W2"][3, 5] = np.nan
    with pytest.raises(ValueError, match="Affine1 gives numbers that are not finite"):
        pyconv.explain.network(broken, X)


def test_a_predict_of_one_s_own_is_refused():
    class Doubled(Sequential):
        def predict(self, x, train_flg=False):
            return 2 * super().predict(x, train_flg)

    with pytest.raises(RuntimeError, match=r"Doubled\.predict computes something else"):
        pyconv.explain.network(Doubled([Affine(np.eye(3, dtype=np.float32))]), array(2, 3))


# The walk and the pictures


def test_the_walk_names_every_layer_its_shape_its_parameters_and_its_rule():
    text = str(TRACE)
    lines = text.splitlines()
    assert lines[0] == "SimpleConvNet"
    assert "Conv1    (2,30,24,24)  W1 (30,1,5,5)  b1 (30)" in lines
    assert "Affine1  (2,100)  W2 (4320,100)  b2 (100)" in lines
    assert lines[-1] == "433,890 parameters in all"
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_nothing_is_wider_than_the_terminal_or_a_wall(width, lang):
    for made in (NETWORK, DeepConvNet(rng=0)):
        console = Console(file=io.StringIO(), width=width, color_system=None, soft_wrap=False)
        trace = pyconv.explain.network(made, X[:1], lang)
        print_walk(trace, console)
        print_pictures(trace, console, 7)
        lines = console.file.getvalue().splitlines()
        assert max(Console().measure(line).maximum for line in lines) <= width
        assert len(lines) <= (150 if width >= 80 else 250)


def test_a_notebook_draws_the_walk_as_a_table():
    markup = TRACE._repr_html_()
    assert markup.count("<tr>") == 10
    assert "(2,30,24,24)" in markup
    hostile = Sequential([Affine(np.eye(3, dtype=np.float32))], name="<script>")
    assert "<script>" not in pyconv.explain.network(hostile, array(1, 3))._repr_html_()


@pytest.mark.parametrize("width", [1, 5, 20])
def test_a_terminal_too_narrow_is_no_reason_to_fail(width):
    for colours in None, "256":
        console = Console(file=io.StringIO(), width=width, color_system=colours)
        print_walk(TRACE, console)
        print_pictures(TRACE, console)
    assert TRACE.text(values=True, width=width)


def test_names_cannot_command_a_terminal():
    hostile = Sequential([Affine(np.eye(3, dtype=np.float32))], (3,), "a\x1b[2Jb\n\u202ec 망")
    trace = pyconv.explain.network(hostile, array(1, 3))
    assert trace.title == r"a\x1b[2Jb\n\u202ec 망"
    assert trace.text().splitlines()[0] == trace.title
    with pytest.raises(ValueError, match=r"a\\x1b\[2Jb"):
        pyconv.explain.network(hostile, array(1, 4))


def test_a_channel_without_anything_is_said_to_be_nought():
    W = np.ones((1, 1, 3, 3), np.float32)
    layers = [Convolution(W, -99 * W[0, 0, 0, :1]), Relu(), Flatten(), Affine(array(676, 2))]
    trace = pyconv.explain.network(Sequential(layers, (1, 28, 28)), X[:1])
    text = trace.text(values=True)
    assert text.count("0 everywhere") == 1


@pytest.mark.parametrize(
    ("colours", "legend"),
    [(None, "░▒▓█ are above zero, ·-=≡ below"), ("256", "Blue is above zero, orange below")],
)
def test_the_pictures_have_a_legend(colours, legend):
    console = Console(file=io.StringIO(), width=100, color_system=colours, force_terminal=True)
    print_pictures(TRACE, console)
    assert legend in console.file.getvalue()


def test_an_image_brighter_than_one_is_not_cut_off():
    made = Sequential([Flatten(), Affine(array(4, 2))], (1, 2, 2))
    x = np.array([[[[10, 5], [10, 5]]]], np.float32)
    text = pyconv.explain.network(made, x).text(values=True)
    assert "\n█▒ " in text


def test_the_pictures_tell_the_answer_and_whether_it_is_right():
    console = Console(file=io.StringIO(), width=80, color_system=None)
    guess = int(TRACE["Softmax"].array[0].argmax())
    print_pictures(TRACE, console, guess)
    print_pictures(TRACE, console, guess + 1)
    text = console.file.getvalue()
    percent = 100 * TRACE["Softmax"].array[0, guess]
    assert f"The network says {guess}, {percent:.1f} %." in text
    assert text.count("That is right.") == text.count(f"It is {guess + 1}.") == 1
    assert "The pictures are of the first of 2 images." in text
    assert "W1      Conv1                      Relu1                      Pool1" in text


@pytest.mark.parametrize(
    ("colours", "half_blocks"), [(None, False), ("standard", False), ("256", True)]
)
def test_pictures_are_in_colour_where_a_terminal_has_enough(colours, half_blocks):
    console = Console(
        file=io.StringIO(), width=80, color_system=colours, force_terminal=bool(colours)
    )
    print_pictures(TRACE, console)
    assert ("▀" in console.file.getvalue()) == half_blocks
    assert ("▓" in console.file.getvalue()) != half_blocks


def test_many_classes_are_abridged_to_the_most_probable():
    wide = Sequential([Affine(array(4, 300))], (4,))
    text = pyconv.explain.network(wide, array(1, 4)).text(values=True)
    assert "less probable: 290 more" in text


def test_a_picture_has_two_pixels_in_a_character():
    image = np.array([[1, 0], [-1, 0.5], [1, -1]])
    shades = drawn(image, 1, colour=False).plain
    assert shades == " ░\n▒-"
    text = drawn(image, 1, colour=True)
    assert text.plain == "▀▀\n▀▀"
    styles = [str(span.style) for span in text.spans]
    assert styles[0] == "rgb(125,205,255) on rgb(245,150,50)"
    assert styles[1].startswith("rgb(24,26,32) on ")
    assert len(set(styles)) == 4


def test_a_large_picture_is_drawn_small():
    image = np.arange(90 * 60, dtype=np.float32).reshape(90, 60)
    reduced = small(image)
    assert reduced.shape == (23, 15)
    np.testing.assert_allclose(reduced[0, 0], image[:4, :4].mean())
    np.testing.assert_allclose(reduced[22, 14], image[88:, 56:].mean())
    np.testing.assert_array_equal(small(image[:28, :28]), image[:28, :28])


def test_numbers_that_are_not_finite_are_drawn_too():
    image = np.array([[np.nan, np.inf], [-np.inf, 0]])
    assert len(drawn(image, 1.0, colour=False).plain) == 2
    assert drawn(np.zeros((2, 2)), 0.0, colour=False).plain == "  "
