"""Images from files: what a network takes, or a sentence that says why not."""

import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv.images import read_images

SHAPE = (1, 5, 6)
RAMP = np.arange(30, dtype=np.uint8).reshape(5, 6) * 8  # 0..232
WANTED = r"images must be uint8 in 0\.\.255 or floats in 0\.\.1"


@pytest.fixture
def pillow():
    return pytest.importorskip("PIL.Image", reason="pictures need Pillow")


def read(path, shape=SHAPE):
    images, notes = read_images(path, shape)
    assert images.dtype == np.float32
    assert images.shape[1:] == shape
    assert ((images >= 0) & (images <= 1)).all()
    return images, notes


# Arrays


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("C", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64, ">f4"])
def test_an_array_of_a_batch_is_read_as_it_is(tmp_path, dtype, C, count):
    array = np.random.default_rng(0).random((count, C, 5, 6)).astype(dtype)
    if dtype == np.uint8:
        array[...] = np.random.default_rng(0).integers(0, 256, array.shape)
    np.save(tmp_path / "a.npy", array)
    images, notes = read(tmp_path / "a.npy", (C, 5, 6))
    scale = 255 if dtype == np.uint8 else 1
    assert (images == array.astype(np.float32) / scale).all()
    assert notes == []


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6), (1, 1, 5, 6)])
def test_leading_axes_of_one_image_can_be_left_out(tmp_path, shape, order):
    np.save(tmp_path / "a.npy", np.asarray(RAMP.reshape(shape), order=order))
    images, _ = read(tmp_path / "a.npy")
    assert (images == RAMP.astype(np.float32) / 255).all()
    assert images.shape == (1, *SHAPE)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (
            RAMP[1:],
            r"shape \(4, 6\), but the network takes images of shape \(1, 5, 6\) \(C, H, W\)",
        ),
        (RAMP.T, r"shape \(6, 5\)"),
        (np.zeros((3, 5, 6)), r"shape \(3, 5, 6\)"),
        (np.zeros((1, 1, 1, 5, 6)), r"shape \(1, 1, 1, 5, 6\)"),
        (np.zeros((0, 1, 5, 6)), r"shape \(0, 1, 5, 6\)"),
        (np.float32(0.5), r"shape \(\)"),
        (RAMP.astype(int), f"int64; {WANTED}"),
        (RAMP.astype(bool), f"bool; {WANTED}"),
        (RAMP.astype(complex), f"complex128; {WANTED}"),
        (RAMP.astype(str), f"<U3; {WANTED}"),
        (RAMP.astype("f4,f4"), f".*f0.*; {WANTED}"),
        (RAMP / 1.0, rf"numbers from 0\.0 to 232\.0; {WANTED}"),
        (RAMP / -255, rf"numbers from -0\.9.* to -0\.0; {WANTED}"),
        (np.where(RAMP > 0, RAMP / 255, np.nan), f"numbers from nan to nan; {WANTED}"),
        (np.where(RAMP > 0, RAMP / 255, np.inf), f"numbers from 0.* to inf; {WANTED}"),
    ],
)
def test_an_array_that_holds_no_such_image_is_refused(tmp_path, array, says):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=rf"a\.npy holds .*{says}"):
        read_images(tmp_path / "a.npy", SHAPE)


def test_a_pickled_array_is_refused_and_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.full((5, 6), sys.version, object))
    with pytest.raises(ValueError, match=r"not a readable .*: Object arrays cannot be load"):
        read_images(tmp_path / "a.npy", SHAPE)


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a text",
        b"PK\x03\x04 no zip",
        b"\x89PNG\r\n\x1a\n",
        b"\x93NUMPY\x09\x00",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 6), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000, 5, 6), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 5, 6), }"),
        header("{'descr': '<f4,', 'fortran_order': 7, 'shape': 'x', }"),
        header("{[]: 1}"),
        header("(" * 9000),
    ],
)
def test_other_bytes_in_an_npy_file_are_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npy is not a readable \.npy file: ."):
        read_images(tmp_path / "a.npy", SHAPE)


@settings(max_examples=150)
@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 300))
def test_an_npy_file_with_changed_bytes_is_read_or_refused(tmp_path_factory, place, byte, length):
    path = tmp_path_factory.getbasetemp() / "changed.npy"
    np.save(path, RAMP)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content[:length])
    try:
        with warnings.catch_warnings(action="ignore"):  # NumPy's, about odd headers
            read(path)
    except ValueError as error:
        assert "changed.npy" in str(error)  # noqa: PT017


# Pictures


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "PNG"])
def test_a_grey_picture_is_read_as_it_is(pillow, tmp_path, suffix):
    pillow.fromarray(RAMP // 2).save(tmp_path / f"a.{suffix}")
    images, notes = read(tmp_path / f"a.{suffix}")
    assert (images[0, 0] == (RAMP // 2).astype(np.float32) / 255).all()
    assert notes == []


LIGHT = 255 * np.eye(5, 6, dtype=np.uint8)  # a light stroke on dark ground
OPAQUE = np.full_like(LIGHT, 255)


def stacked(*channels):
    return np.stack(channels, axis=2)


@pytest.mark.parametrize(
    ("pixels", "mode", "inverted"),
    [
        (LIGHT, "L", False),
        (255 - LIGHT, "L", True),
        (LIGHT > 0, "1", False),
        (LIGHT == 0, "1", True),
        (LIGHT, "P", False),
        (255 - LIGHT, "P", True),
        (257 * LIGHT.astype(np.uint16), "I;16", False),
        (257 * (255 - LIGHT).astype(np.uint16), "I;16", True),
        (stacked(LIGHT, LIGHT, LIGHT), "RGB", False),
        (255 - stacked(LIGHT, LIGHT, LIGHT), "RGB", True),
        (stacked(OPAQUE, LIGHT), "LA", False),
        (stacked(LIGHT, OPAQUE), "LA", False),
        (stacked(LIGHT, LIGHT, LIGHT, OPAQUE), "RGBA", False),
        (stacked(0 * LIGHT, 0 * LIGHT, 0 * LIGHT, LIGHT), "RGBA", True),  # black ink on nothing
        (stacked(OPAQUE, OPAQUE, OPAQUE, LIGHT), "RGBA", False),  # white ink on nothing
    ],
)
def test_a_stroke_comes_out_light_on_dark_from_every_kind_of_picture(
    pillow, tmp_path, pixels, mode, inverted
):
    picture = pillow.fromarray(pixels)
    if mode == "P":
        picture = picture.convert("P")
    picture.save(tmp_path / "a.png")
    with pillow.open(tmp_path / "a.png") as saved:
        assert saved.mode == mode
    images, notes = read(tmp_path / "a.png")
    assert (255 * images[0, 0] == LIGHT).all()
    assert notes == (["inverted: dark on light became light on dark"] if inverted else [])


def test_a_transparent_color_of_a_palette_is_paper(pillow, tmp_path):
    picture = pillow.new("P", (6, 5), 0)
    picture.putpalette([255, 0, 0, 0, 0, 0])
    for i in range(5):
        picture.putpixel((i, i), 1)
    picture.save(tmp_path / "a.png", transparency=0)
    images, notes = read(tmp_path / "a.png")
    assert (255 * images[0, 0] == LIGHT).all()
    assert notes == ["inverted: dark on light became light on dark"]


def test_16_bits_keep_their_shades(pillow, tmp_path):
    pillow.fromarray(RAMP.astype(np.uint16) * 100).save(tmp_path / "a.png")
    images, _ = read(tmp_path / "a.png")
    assert np.abs(images[0, 0] - RAMP * (100 / 65535)).max() < 1 / 255
    assert len(np.unique(images)) > 20


def test_a_picture_of_another_size_is_resized_with_a_note(pillow, tmp_path):
    large = np.kron(LIGHT, np.ones((4, 3), np.uint8))
    pillow.fromarray(255 - large).save(tmp_path / "a.png")
    images, notes = read(tmp_path / "a.png")
    assert (255 * images[0, 0] == LIGHT).all()
    assert notes[0] == "resized from 20×18 to 5×6"
    assert notes[1].startswith("inverted")


def test_a_network_of_three_channels_gets_the_colors(pillow, tmp_path):
    pixels = stacked(RAMP, 255 - RAMP, LIGHT)
    pillow.fromarray(pixels).save(tmp_path / "a.png")
    images, notes = read(tmp_path / "a.png", (3, 5, 6))
    assert (images[0] == pixels.transpose(2, 0, 1).astype(np.float32) / 255).all()
    assert notes == []


def test_a_network_of_two_channels_takes_no_pictures(pillow, tmp_path):
    pillow.fromarray(RAMP).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="1 or 3 channels, but the network takes 2; give an"):
        read_images(tmp_path / "a.png", (2, 5, 6))


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (RAMP.astype(np.float32), "floats of an unknown range"),
        (RAMP.astype(np.int32) * 10**6, "from 0 to 232000000, not over 16 bits"),
        (-RAMP.astype(np.int32), "from -232 to 0, not over 16 bits"),
    ],
)
def test_pixels_without_a_known_white_are_refused(pillow, tmp_path, pixels, says):
    pillow.fromarray(pixels).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match=f"a.tiff is not a readable picture: .*{says}"):
        read_images(tmp_path / "a.tiff", SHAPE)


@pytest.mark.parametrize("kept", [None, 0, 20, 60])
def test_what_is_no_picture_or_half_of_one_is_refused(pillow, tmp_path, kept):
    pillow.fromarray(RAMP).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(b"a text" if kept is None else content[:kept])
    with pytest.raises(ValueError, match=r"a\.png is not a readable picture: "):
        read_images(tmp_path / "a.png", SHAPE)


def test_a_picture_larger_than_any_sensible_one_is_refused(pillow, tmp_path, monkeypatch):
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 7)
    pillow.fromarray(RAMP).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"not a readable picture: .*exceeds limit"):
        read_images(tmp_path / "a.png", SHAPE)


def test_without_pillow_a_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"reading .*a\.png needs Pillow: .*pip install pillow"):
        read_images(tmp_path / "a.png", SHAPE)


@pytest.mark.parametrize("name", ["none.npy", "none.png", ""])
def test_a_missing_file_or_a_folder_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="there is no image file"):
        read_images(tmp_path / name, SHAPE)
