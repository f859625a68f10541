"""Pictures of every mode and of damaged files, as whole numbers of 0 to 255."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cotrain.data.picture_decoding import BrokenPictureError, decoded, from_array, look

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (7, 5, 3), dtype=np.uint8)


def saved(image: Image.Image, form: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def test_a_lossless_picture_comes_back_channel_by_channel() -> None:
    out = decoded(saved(Image.fromarray(COLOURS)), (7, 5), 3)
    assert out.dtype == np.uint8
    assert (out == COLOURS.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_every_form_of_file_is_read(form: str) -> None:
    flat = np.full((6, 6, 3), (200, 40, 90), dtype=np.uint8)
    how = {"lossless": True} if form == "WEBP" else {}
    out = decoded(saved(Image.fromarray(flat), form, **how), (6, 6), 3)
    assert np.abs(out.astype(int) - flat.transpose(2, 0, 1)).max() <= 2


def test_grey_is_pillows_weighing_of_colours_and_grey_in_three_channels_is_the_same_thrice() -> None:
    raw = saved(Image.fromarray(COLOURS))
    expected = COLOURS.astype(float) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decoded(raw, (7, 5), 1)[0] - expected).max() <= 1
    grey = decoded(saved(Image.fromarray(COLOURS[:, :, 0])), (7, 5), 3)
    assert (grey == COLOURS[:, :, 0]).all()


def test_palettes_truth_values_and_cmyk_become_colours() -> None:
    image = Image.fromarray(np.full((4, 4, 3), (255, 0, 0), dtype=np.uint8))
    for mode, form in (("P", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("RGB", "JPEG")):
        out = decoded(saved(image.convert(mode), form), (4, 4), 3)
        assert np.abs(out.astype(int) - np.array([255, 0, 0])[:, None, None]).max() <= 4, (mode, form)
    bits = Image.fromarray(np.eye(4, dtype=np.uint8) * 255).convert("1")
    assert (decoded(saved(bits), (4, 4), 1)[0] == np.eye(4) * 255).all()


def test_sixteen_bits_are_brought_to_eight() -> None:
    deep = np.array([[0, 257, 65535], [128 * 257, 300, 1]], dtype=np.uint16)
    out = decoded(saved(Image.fromarray(deep)), (2, 3), 1)
    assert out[0].tolist() == [[0, 1, 255], [128, 1, 0]]
    assert look(saved(Image.fromarray(deep))) == ((2, 3), 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_places_lie_on_white(mode: str) -> None:
    cells = np.zeros((2, 2, 4), dtype=np.uint8)
    cells[0, 0] = (10, 10, 10, 255)
    image = Image.fromarray(cells)
    if mode == "P":
        image = image.quantize(4)
    out = decoded(saved(image if mode != "LA" else image.convert("LA")), (2, 2), 3)
    assert (out[:, 1, 1] == 255).all()
    assert (np.abs(out[:, 0, 0].astype(int) - 10) <= 1).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_as_their_exif_says(orientation: int) -> None:
    upright = np.zeros((16, 8), dtype=np.uint8)
    upright[:8, :4] = 255  # the upper left quarter
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: np.rot90(upright, 2).T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = saved(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert look(raw)[0] == (16, 8)
    assert (decoded(raw, (16, 8), 1)[0] == upright).all()


def test_a_smaller_size_averages_the_places_it_covers() -> None:
    cells = np.zeros((8, 8), dtype=np.uint8)
    cells[:, ::2] = 200
    out = decoded(saved(Image.fromarray(cells)), (2, 2), 1)
    assert np.abs(out.astype(int) - 100).max() <= 12
    large = decoded(saved(Image.fromarray(np.full((900, 1200, 3), 77, dtype=np.uint8)), "JPEG"), (30, 40), 3)
    assert large.shape == (3, 30, 40)
    assert np.abs(large.astype(int) - 77).max() <= 1


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (np.array([[True, False]]), [[255, 0]]),
        (np.array([[0.0, 0.5]]), [[0, 128]]),
        (np.array([[7, 255]], dtype=np.int64), [[7, 255]]),
        (np.array([[65535, 257]], dtype=np.int32), [[255, 1]]),
        (np.array([[[7], [8]]], dtype=np.uint8), [[7, 8]]),
    ],
)
def test_arrays_of_any_kind_of_number_are_pictures(cells: Any, expected: list[list[int]]) -> None:
    assert decoded(cells, (1, 2), 1)[0].tolist() == expected


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "an empty file"),
        (b"hello, world", "no kind of picture that is known (12 bytes, beginning b'hello, w')"),
        (saved(Image.fromarray(RANDOM.integers(0, 256, (60, 60, 3), dtype=np.uint8)))[:3000], "truncated"),
        (np.array([[0.0, 16.0]]), "fractions of 0 to 1 are expected, got up to 16"),
        (np.array([[-1, 3]]), "got -1 to 3"),
        (np.array([[0.0, np.nan]]), "got nan to nan"),
        (np.array([[70000]]), "got up to 70000"),
        (np.zeros((2, 2, 2)), "got [2, 2, 2]"),
    ],
)
def test_what_is_no_picture_says_why(raw: Any, why: str) -> None:
    with pytest.raises(BrokenPictureError) as told:
        decoded(raw, (2, 2), 3)
    assert why in str(told.value)


def test_an_array_with_a_fourth_channel_is_laid_on_white() -> None:
    assert from_array(np.zeros((1, 1, 4), dtype=np.uint8)).getpixel((0, 0)) == (255, 255, 255)
