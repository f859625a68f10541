"""Damage inside packed data, whatever way it was packed, is answered in words."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cotrain.core.errors import DataError
from cotrain.data.picture_cells import BrokenPictureError, PictureCells
from cotrain.data.read import read_table

WAYS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def damage(path: Path, at: int) -> None:
    held = bytearray(path.read_bytes())
    held[at : at + 8] = bytes(one ^ 0x5A for one in held[at : at + 8])
    path.write_bytes(held)


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_in_a_damaged_zip_is_broken_and_no_other(tmp_path: Path, way: int) -> None:
    place = tmp_path / "photos.zip"
    content = np.random.default_rng(0).integers(0, 9, 3000, dtype=np.uint8).tobytes()
    with zipfile.ZipFile(place, "w", way) as opened:
        opened.writestr("a.png", content)
        opened.writestr("b.png", content)
    damage(place, 60)
    cells = PictureCells(pl.Series("photo", ["a.png", "b.png"]), [place])
    with pytest.raises(BrokenPictureError, match="cannot be read"):
        cells.raw(0)
    assert cells.raw(1) == content


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_table_of_arrays_is_named(tmp_path: Path, save: object) -> None:
    save(tmp_path / "x.npz", x=np.random.default_rng(0).integers(0, 9, 500))  # type: ignore[operator]
    damage(tmp_path / "x.npz", 240)
    with pytest.raises(DataError, match=r"x\.npz' cannot be read as npz: it is damaged"):
        read_table(tmp_path / "x.npz")
