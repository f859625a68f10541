"""PNG files as another library reads them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from cotrain.core.errors import DataError
from cotrain.data.png import png

image: Any = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize("channels", [1, 3])
def test_another_library_reads_the_same_cells(channels: int) -> None:
    cells = torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8)
    read = np.asarray(image.open(io.BytesIO(png(cells))))
    assert np.array_equal(read.reshape(5, 7, channels), cells.permute(1, 2, 0).numpy())
    assert png(cells.float() / 255) == png(cells)


def test_large_pictures_are_made_smaller_and_keep_their_sides() -> None:
    read = image.open(io.BytesIO(png(torch.full((3, 300, 600), 0.5), most=60)))
    assert read.size == (60, 30)
    assert set(np.unique(np.asarray(read))) == {128}


def test_other_numbers_of_channels_become_grey_and_no_picture_is_refused() -> None:
    assert image.open(io.BytesIO(png(torch.zeros(5, 2, 2)))).mode == "L"
    with pytest.raises(DataError, match=r"got a tensor of shape \(2, 2\)"):
        png(torch.zeros(2, 2))
