"""`pyconv explain conv` and `pool` as people read them, and the lecture's tables cell by cell."""

import re
from itertools import chain

import numpy as np
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from pyconv import cli, datasets, explain
from pyconv.explain.inputs import small_numbers
from pyconv.explain.picture import save_picture
from pyconv.explain.rules import short

# The lecture's tables, as they stand there.
IMAGE = """
D0 D1 D2
D3 D4 D5
D6 D7 D8"""
WINDOWS = """
D0 D1 D3 D4
D1 D2 D4 D5
D3 D4 D6 D7
D4 D5 D7 D8"""
COLUMNS = """
D0 D1 D3 D4 D0 D1 D3 D4 D0 D1 D3 D4
D1 D2 D4 D5 D1 D2 D4 D5 D1 D2 D4 D5
D3 D4 D6 D7 D3 D4 D6 D7 D3 D4 D6 D7
D4 D5 D7 D8 D4 D5 D7 D8 D4 D5 D7 D8"""
FILTERS = """
F0 G0
F1 G1
F2 G2
F3 G3
F0 G0
F1 G1
F2 G2
F3 G3
F0 G0
F1 G1
F2 G2
F3 G3"""
POOLED = """
D0 D1 D3 D4
D0 D1 D3 D4
D0 D1 D3 D4
D1 D2 D4 D5
D1 D2 D4 D5
D1 D2 D4 D5
D3 D4 D6 D7
D3 D4 D6 D7
D3 D4 D6 D7
D4 D5 D7 D8
D4 D5 D7 D8
D4 D5 D7 D8"""


def cells(table):
    return [line.split() for line in table.strip().splitlines()]


def run(*arguments, code=0):
    """Lines of `pyconv explain`, or its complaint."""
    result = CliRunner().invoke(cli.app, ["explain", *map(str, arguments)])
    assert result.exit_code == code, result.output
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert max(map(cell_len, lines)) <= 80 or code, "as wide as the terminal"
    return lines


class Walk:
    """The steps of a printed walk: of each the shape, the lines below it, and the tables."""

    def __init__(self, lines):
        self.title, self.steps, step = lines[0], {}, None
        for line in lines[1:]:
            if head := re.fullmatch(r"\d+ +(.+?) {2,}(\([\d,]+\))", line):
                step = self.steps.setdefault(head[1], (head[2], []))
            elif step:
                step[1].append(line.strip())

    def shape(self, code):
        return self.steps[code][0]

    def says(self, code):
        return " ".join(self.steps[code][1])

    def matrix(self, code):
        """Cells below the rule of a matrix, without the head of each row."""
        lines = self.steps[code][1]
        (rule,) = (i for i, line in enumerate(lines) if re.fullmatch("─+", line))
        return [line.split()[1:] for line in lines[rule + 1 :] if line]

    def boxes(self, code):
        """Cells of all tables with a frame, by what stands above each."""
        found, open_boxes = {}, []
        lines = self.steps[code][1]
        for above, line in zip(["", *lines], lines, strict=False):
            if line.startswith("┌"):
                open_boxes = [
                    found.setdefault(title, []) for title in re.findall(TITLE, above) or [""]
                ]
            elif line.startswith("│"):
                rows = re.findall(r"│(?: [^│]*[^│ ][^│]* │)+", line)
                for box, row in zip(open_boxes, rows, strict=True):
                    box.append(row.strip("│").replace("│", " ").split())
        return found


TITLE = r"\w+\[[^\]]+\]"  # D[0,1,:,:]

COL, COL_W = "col = im2col(x, 2, 2, stride=1, pad=0)", "col_W = self.W.reshape(FN, -1).T"
DOT, RESHAPED, Y = (
    "out = np.dot(col, col_W)", "out = out.reshape(N, out_h, out_w, -1)",
    "out = out.transpose(0, 3, 1, 2)",
)  # fmt: skip


@pytest.mark.parametrize("batch", [1, 2])
def test_the_convolution_of_the_lecture(batch):
    walk = Walk(run("conv", *([] if batch == 1 else ["--batch", batch])))
    x = small_numbers((batch, 3, 3, 3), 0, 10, seed=0)
    images = walk.boxes("N, C, H, W = x.shape")
    for (n, c), title in zip(np.ndindex(batch, 3), images, strict=True):
        assert [*map(int, chain(*images[title][1::2]))] == [*x[n, c].flat]
        images[title] = images[title][::2]
    assert images == {f"D[{n},{c},:,:]": cells(IMAGE) for n in range(batch) for c in range(3)}
    filters = walk.boxes("FN, C, FH, FW = self.W.shape")
    for f, letter in enumerate("FG"):
        for c in range(3):
            box = [[f"{letter}0", f"{letter}1"], [f"{letter}2", f"{letter}3"]]
            assert filters[f"F[{f},{c},:,:]"][::2] == box
    assert walk.matrix(COL) == cells(COLUMNS) * batch
    assert walk.matrix(COL_W) == cells(FILTERS)
    shapes = [shape for shape, _ in walk.steps.values()]
    assert shapes == [
        f"({batch},3,3,3)", "(2,3,2,2)", f"({4 * batch},12)", "(12,2)", f"({4 * batch},2)",
        f"({batch},2,2,2)", f"({batch},2,2,2)",
    ]  # fmt: skip
    assert f"({4 * batch},12) times (12,2) is ({4 * batch},2)" in walk.says(DOT)
    product = walk.matrix(DOT)
    outputs = walk.boxes(Y)
    for n in range(batch):
        for f in range(2):
            column = [row[f] for row in product[4 * n : 4 * n + 4]]
            assert [*chain(*outputs[f"Y[{n},{f},:,:]"])] == column


@pytest.mark.parametrize("batch", [1, 2])
def test_the_pooling_of_the_lecture(batch):
    walk = Walk(run("pool", *([] if batch == 1 else ["--batch", batch])))
    windows = walk.matrix("col = col.reshape(-1, pool_h*pool_w)")
    assert [[c.strip("[]") for c in row] for row in windows] == cells(POOLED) * batch
    assert walk.matrix(COL) == cells(COLUMNS) * batch
    won = [cell.strip("[]") for row in windows for cell in row if cell.startswith("[")]
    assert len(won) == 12 * batch
    lines = walk.steps["out = np.max(col, axis=1)"][1]
    maxima = next(line for line in lines if line.startswith("│ D0")).replace("│", " ").split()
    if batch == 1:
        assert maxima == won
    else:
        assert maxima[-1] == won[-1]
        assert "…" in maxima
    shapes = [shape for shape, _ in walk.steps.values()]
    assert shapes == [
        f"({batch},3,3,3)", f"({4 * batch},12)", f"({12 * batch},4)", f"({12 * batch})",
        f"({batch},2,2,3)", f"({batch},3,2,2)",
    ]  # fmt: skip
    assert {tuple(map(len, box)) for box in walk.boxes(Y).values()} == {(2, 2)}


def test_the_size_formula_and_a_sum_stand_there_in_numbers():
    walk = Walk(run("conv", "--input", "1,1,5,4", "--filter", "1,1,2,3", "--stride", "2,1"))
    says = walk.says("col = im2col(x, 2, 3, stride=(2,1), pad=0)")
    assert "OH = ⌊(H + 2·P − FH) / S⌋ + 1 = ⌊(5 + 0 − 2) / 2⌋ + 1 = 2" in says
    assert "OW = ⌊(W + 2·P − FW) / S⌋ + 1 = (4 + 0 − 3) / 1 + 1 = 2" in says
    says = walk.says(DOT)
    labels, numbers, value = re.search(r"row 0,0, filter F: (D.+) = (.+) = (-?\d+)", says).groups()
    assert labels.startswith("D0·F0 + D1·F1 + D2·F2 + D4·F3 + ")
    assert value == walk.matrix(DOT)[0][0]

    walk = Walk(run("conv", "--filter", "1,3,1,1", "--input", "1,3,2,2"))
    says = walk.says(DOT)
    numbers, value = re.search(r"D0·F0 \+ D0·F0 \+ D0·F0 = (.+) = (-?\d+)", says).groups()
    factors = [[int(n.strip("()")) for n in term.split("·")] for term in numbers.split(" + ")]
    assert sum(a * b for a, b in factors) == int(value)


def test_padding_is_shown_around_the_image_and_in_the_matrix():
    walk = Walk(run("conv", "--pad", "1,0,2,0", "--dilation", "2", "--input", "1,1,3,3"))
    (image,) = walk.boxes("N, C, H, W = x.shape").values()
    pixels = [["pad", "pad", *row] for row in cells(IMAGE)]
    assert image[0] == ["pad"] * 5
    assert image[1::2] == pixels
    assert "pad around an image" in walk.says("N, C, H, W = x.shape")
    (code,) = (code for code in walk.steps if code.startswith("col ="))
    assert code == "col = im2col(x, 2, 2, stride=1, pad=((1,0),(2,0)), dilation=2)"
    assert walk.matrix(code)[0] == ["pad", "pad", "pad", "D3"]
    assert "OH = ⌊(H + P − ((FH − 1)·2 + 1)) / S⌋ + 1 = (3 + 1 − 3) / 1 + 1 = 2" in walk.says(code)


def test_the_gradients_of_a_convolution_overlap_in_col2im():
    lines = run("conv", "--backward", "--input", "1,1,3,3")
    walk = Walk(lines[lines.index("", lines.index(walk_end(lines))) :])
    overlaps = "overlaps = col2im(np.ones_like(col), x.shape, ...)"
    assert walk.boxes(overlaps) == {"D[0,0,:,:]": cells("1 2 1\n2 4 2\n1 2 1")}
    assert "from 1 to 4. So col2im(im2col(x)) is not x" in walk.says(overlaps)
    assert walk.matrix("dcol = np.dot(dout, col_W.T)")[0] == ["dD0", "dD1", "dD3", "dD4"]
    dx = "dx = col2im(dcol, x.shape, ...)"
    assert "dD4 = its cells in rows 0, 1, 2, 3 of dcol = " in walk.says(dx)
    (box,) = walk.boxes(dx).values()
    terms, value = re.search(r"of dcol = (.+) = (\S+)", walk.says(dx)).groups()
    assert sum(int(term.strip("()")) for term in terms.split(" + ")) == int(value)
    assert value == box[1][1]


def walk_end(lines):
    """The title of the second walk."""
    (title,) = (line for line in lines if line.endswith(", backward"))
    return title


def test_the_gradient_of_a_pooling_goes_to_the_winner():
    lines = run("pool", "--backward", "--stride", "2", "--input", "1,1,4,4")
    start = lines.index(walk_end(lines))
    forward, backward = Walk(lines[:start]), Walk(lines[start:])
    won = forward.matrix("col = col.reshape(-1, pool_h*pool_w)")
    given = backward.matrix("dcol[np.arange(len(dcol)), argmax] = dout")
    assert given[::2] == [[cell.replace("D", "dD") for cell in row] for row in won]
    # a number below each label; the first of a line is taken for a head
    assert given[1::2] == [["1" if "[" in cell else "0" for cell in row[1:]] for row in won]
    wins = "wins = col2im(won, x.shape, ...)"
    assert "12 of 16 pixels won none" in backward.says(wins)
    (box,) = backward.boxes(wins).values()
    assert sorted(chain(*box)) == ["0"] * 12 + ["1"] * 4


def test_what_holds_for_some_shapes_alone_is_said_of_these():
    apart = run("conv", "--backward", "--stride", "2", "--input", "1,1,4,4")
    overlaps = "overlaps = col2im(np.ones_like(col), x.shape, ...)"
    assert "so that here col2im(im2col(x)) is x" in Walk(apart).says(overlaps)

    padded = Walk(run("pool", "--backward", "--pad", "3", "--input", "1,1,2,2"))
    assert "out = np.max(col, axis=1, where=inside, initial=-np.inf)" in padded.steps
    goes = padded.says("dcol[np.arange(len(dcol)), argmax] = dout")
    assert "of a window of padding alone goes nowhere" in goes
    assert "goes nowhere" not in " ".join(run("pool", "--backward"))

    ones = Walk(run("conv", "--input", "1,1,2,2", "--filter", "4,1,1,1"))
    assert set(chain(*ones.matrix(COL_W))) <= {"F0", "G0", "H0", "I0"}
    assert all(set(column) != {"0"} for column in zip(*ones.matrix(DOT), strict=True))


@pytest.mark.parametrize(
    ("number", "text"),
    [(999.6, "1000"), (-0.0, "0"), (0.12345, "0.123"), (-2, "-2"), (1e6, "1000000")],
)
def test_a_number_is_written_in_a_few_characters(number, text):
    assert short(np.float32(number)) == text


def test_values_of_a_real_image_stand_below_the_labels(tmp_path):
    _, (x, _) = datasets.load_digits()
    walk = Walk(run("pool", "--data", "digits", "--input", "1,1,14,14", "--stride", "2"))
    assert walk.shape("N, C, H, W = x.shape") == "(1,1,14,14)"
    matrix = walk.matrix("col = im2col(x, 2, 2, stride=2, pad=0)")
    assert matrix[0] == ["D0", "D1", "D14", "D15"]
    assert matrix[1] == ["0"] * 3  # the first of the numbers is taken for a head

    walk = Walk(run("conv", "--data", "digits"))  # too large for a table of all pixels
    for code, title in (("N, C, H, W = x.shape", "D[0,0,:,:]"), (Y, "Y[0,0,:,:]")):
        picture = walk.says(code).split(title)[1]
        assert set(picture.split("Y[0,1,:,:]")[0]) <= set(" ░▒▓█·-=≡")
        assert "▓" in picture
    assert walk.matrix(COL)

    np.save(tmp_path / "digit.npy", x[5])
    trace = explain.pooling(x[5:6], 28, 28)
    walk = Walk(run("pool", "--image", tmp_path / "digit.npy", "--pool", "28,28"))
    (box,) = walk.boxes(Y).values()
    assert box == [[f"{trace['y'].array.item():.3g}"]]


def test_a_picture_is_resized_and_that_is_told(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    Image.new("L", (6, 6), 255).save(tmp_path / "white.png")
    arguments = ["explain", "conv", "--image", str(tmp_path / "white.png"), "--input", "1,1,3,3"]
    result = CliRunner().invoke(cli.app, arguments)
    assert f"{tmp_path}/white.png: resized from 6×6 to 3×3" in result.stderr
    assert Walk(result.stdout.splitlines()).shape("N, C, H, W = x.shape") == "(1,1,3,3)"


def test_korean():
    walk = Walk(run("conv", "--lang", "ko", "--backward"))
    assert (
        walk.title
        == "합성곱: 입력 (1,3,3,3), 필터 (2,3,2,2), 스트라이드 1, 패딩 0, 간격(dilation) 1"
    )
    assert "필터 전개" in walk.says(COL_W)
    assert walk.matrix(COL) == cells(COLUMNS)
    assert "최대 풀링" in run("pool", "--lang", "ko")[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["conv", "--input", "16,32,40,40", "--filter", "64,32,3,3", "--pad", "same"],
        ["conv", "--input", "1,1,28,28", "--filter", "30,1,5,5", "--backward"],
        ["conv", "--input", "1,1,2,300", "--filter", "1,1,1,300"],
        ["conv", "--data", "digits", "--filter", "500,1,28,28"],
        ["pool", "--input", "3,100,9,9", "--backward"],
        ["pool", "--input", "100,1,30,30", "--pool", "3,3", "--stride", "2", "--pad", "1"],
    ],
)
def test_large_inputs_are_abridged(arguments):
    lines = run(*arguments)
    assert len(lines) < (310 if "--backward" in arguments else 160)
    assert "…" in "".join(lines)


PAD = "--pad takes a whole number, height,width, top,bottom,left,right, same or valid"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("conv --filter 2,2,2,2", "the input of shape (1, 3, 3, 3) has 3 channels but the filters "
         "of shape (2, 2, 2, 2) have 2; filters of shape (2, 3, 2, 2) would fit"),
        ("conv --stride 0", "stride must be at least 1, not 0"),
        ("conv --pad some", "pad must be 'same' or 'valid' where it is a word, not 'some'"),
        ("conv --pad 1,2,3", f"{PAD}, and not '1,2,3'"),
        ("conv --pad -1", f"{PAD}, and not '-1'"),
        ("conv --input 3,3", "--input takes N,C,H,W, 4 whole numbers with commas, and not '3,3'"),
        ("conv --input 1,0,3,3", "x of shape (1, 0, 3, 3) has an empty axis; only the batch N may "
         "be 0"),
        ("pool --pool 4,4", "the window reaches over 4×4 pixels (pool 4×4, dilation 1×1) but the "
         "padded input has only 3×3 (input 3×3, pad ((0, 0), (0, 0))); use a smaller pool, more "
         "padding or a larger input"),
        ("pool --dilation 1,x", "--dilation takes a whole number or height,width, and not '1,x'"),
        ("pool --data digits --image a.png", "give --image or --data, and not both"),
        ("pool --image no.png", "there is no image file 'no.png'"),
        ("pool --data nowhere", "--data takes digits, mnist, fashion or a folder of four IDX "
         "files, and 'nowhere' is none of these"),
        ("pool --data digits --batch 1000", "digits has 359 images, and 1,000 are asked for"),
        ("conv --data digits --input 1,1,9,9", "the images of digits have shape (1, 28, 28), and "
         "--input asks for (1, 9, 9); it takes 1 channel(s), a height that divides 28, and a "
         "width that divides 28"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(arguments, sentence):
    assert run(*arguments.split(), code=1) == [f"pyconv: error: {sentence}"]


@pytest.mark.parametrize("width", [1, 30, 40])
def test_no_terminal_is_too_narrow(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    for layer in ("conv", "pool"):
        lines = run(layer, "--backward", "--data", "digits", "--input", "1,1,14,14")
        assert max(map(cell_len, lines)) <= max(width, 30)


def test_a_sum_of_rounded_numbers_is_called_so():
    says = Walk(run("conv", "--data", "digits", "--input", "1,1,7,7")).says(DOT)
    row, terms, sign, value = re.search(
        r"row (\S+), filter F: .* = (.+) (=|≈) (\S+)", says
    ).groups()
    assert row == "3,3", "the middle of an image shows more than its rim"
    assert (sign, "." in terms, "." in value) == ("≈", True, True)


@pytest.mark.parametrize("layer", ["conv", "pool"])
def test_a_picture_marks_the_way_of_a_window(layer, tmp_path):
    run(layer, "--picture", tmp_path / "a.svg", "--pad", 1, "--stride", 2)
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    texts = re.findall(r"<text [^>]*>([^<]*)</text>", drawn)
    assert texts.count("pad") == 3 * 16 + (3 * 7 if layer == "conv" else 2 * 3 * 7)
    assert {"x (1,3,3,3)", "col (4,12)", "D[0,2,:,:]", "D8"} <= {*texts}
    assert len(re.findall("stroke-width: 1.5", drawn)) >= 12 + 12
    run(layer, "--picture", tmp_path / "b.svg", "--pad", 1, "--stride", 2)
    assert (tmp_path / "b.svg").read_text(encoding="utf-8") == drawn, "no date, no random names"
    run(layer, "--picture", tmp_path / "a.png", "--input", "2,1,20,20")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    lines = run(layer, "--picture", tmp_path / "a.pdf", code=1)
    assert lines == [
        f"pyconv: error: a picture is written as .png or .svg, and not as '{tmp_path}/a.pdf'"
    ]
    with pytest.raises(ValueError, match="a picture needs an image, and the batch is empty"):
        save_picture(explain.pooling(np.zeros((0, 1, 3, 3)), 2, 2), tmp_path / "none.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.svg"]
