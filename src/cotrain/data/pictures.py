"""The pictures of one column, all decoded once: which are broken, what their channels are like, and the field that a network reads.

Shapes: N rows, C channels, H x W places. Decoded pictures are kept in a file mapped into memory if they fit; else they are decoded again
whenever their rows are taken. Threads decode side by side (Pillow lets others run while it decodes).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.data.picture_cells import PictureCells
from cotrain.data.picture_decoding import BrokenPictureError, decoded, look
from cotrain.data.picture_settings import LARGEST, OTHERWISE, ImageSettings

CHUNK = 32
"""Pictures a thread decodes in one go."""

IN_MEMORY = 1 << 26
"""Decoded pictures of at most so many bytes lie in plain memory."""

SIZED = 1000
"""So many training pictures, evenly spread, are looked at to find size and channels."""

NAMED = 5
"""So many broken pictures are named; of more, the number is said."""

Broken = Mapping[int, str]
"""{row: why its picture cannot be read}"""


@dataclass(frozen=True)
class Form:
    """How pictures are made alike: all of height H, width W and C channels."""

    size: tuple[int, int]
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, *self.size)

    @property
    def bytes(self) -> int:
        """What one decoded picture takes."""
        return self.channels * self.size[0] * self.size[1]


class Pictures:
    """A field of pictures that are decoded when rows are taken: like a `Field`, but for its values.

    present [N]: the row has a picture. A picture that turns out to be broken is missing, and `notes` name it.
    """

    def __init__(self, cells: PictureCells, form: Form, present: Tensor) -> None:
        self.cells, self.form = cells, form
        self.present: Tensor = present
        self.broken: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.present)

    def select(self, rows: Tensor) -> Field:
        """The field of the given rows ([M] int64 row numbers, or [N] bool), in that order; values [M, C, H, W] uint8."""
        if rows.dtype == torch.bool:
            rows = rows.nonzero().squeeze(1)
        present = self.present[rows].clone()
        values = np.zeros((len(rows), *self.form.shape), dtype=np.uint8)
        wanted = rows.numpy()
        for places, cells, broken in decode(self.cells, wanted, self.form, present.numpy()):
            values[places] = cells
            self.broken |= {int(wanted[place]): why for place, why in broken.items()}
            present[list(broken)] = False
        return Field(torch.from_numpy(values), present)

    def notes(self) -> list[str]:
        """What was met so far, one sentence."""
        return [told(self.cells, self.broken)] if self.broken else []


@dataclass(frozen=True)
class Read:
    """What came of decoding every picture of a column once.

    field: dense where the decoded pictures were kept, else `Pictures`. broken: {row: reason}. sums, squares [N, C]: of each picture's values of
    0 to 255 and of their squares.
    """

    cells: PictureCells
    form: Form
    field: Field | Pictures
    broken: Broken
    sums: NDArray[np.int64]
    squares: NDArray[np.int64]

    def moments(self, rows: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean, standard deviation) of each channel over the pictures of the given rows, in 0 to 1. Raises DataError where none can be read."""
        held = rows[self.field.present.numpy()[rows]]
        if not len(held):
            wrong = (
                told(self.cells, self.broken) if self.broken else f"column '{self.cells.name}' has no picture in them"
            )
            raise DataError(
                f"column '{self.cells.name}': pictures to train on are expected, but none of the {len(rows)} training rows has one; {wrong}. "
                "Relative paths begin where the table lies; say data.image.folder if they begin elsewhere"
            )
        count = len(held) * self.form.size[0] * self.form.size[1]
        mean = self.sums[held].sum(0) / count
        spread = np.sqrt(np.maximum(self.squares[held].sum(0) / count - mean**2, 0.0))
        return tuple(float(one) / 255 for one in mean), tuple(float(one) / 255 for one in spread)


def form_of(cells: PictureCells, settings: ImageSettings, rows: NDArray[np.int64]) -> Form:
    """Size and channels of a column's pictures: what the settings say, else what those of the given (training) rows are like."""
    size, channels = settings.sides, settings.channels
    if size is not None and channels != "auto":
        return Form(size, channels)
    held = rows[cells.present[rows]]
    some = held[np.linspace(0, len(held) - 1, min(SIZED, len(held))).astype(np.int64)] if len(held) else held
    seen = []
    with ThreadPoolExecutor(_threads()) as pool:
        for found in pool.map(lambda row: _looked(cells, int(row)), some):
            seen += [] if found is None else [found]
    sizes = {one for one, _ in seen}
    if size is None:
        size = next(iter(sizes)) if len(sizes) == 1 and max(max(sizes)) <= LARGEST else OTHERWISE
    if channels == "auto":
        channels = 1 if seen and all(one == 1 for _, one in seen) else 3
    return Form(size, channels)


def read(cells: PictureCells, form: Form, *, cache_mib: int) -> Read:
    """Decode every picture of a column once. cache_mib: decoded pictures are kept if they take at most so much."""
    rows = len(cells)
    keep = rows * form.bytes <= cache_mib << 20
    values = _room((rows, *form.shape)) if keep else None
    present = torch.from_numpy(cells.present.copy())
    broken: dict[int, str] = {}
    sums, squares = np.zeros((2, rows, form.channels), dtype=np.int64)
    for places, pictures, wrong in decode(cells, np.arange(rows), form, cells.present):
        if values is not None:
            values[places] = pictures
        wide = pictures.astype(np.int64)
        sums[places], squares[places] = wide.sum((2, 3)), np.square(wide).sum((2, 3))
        broken |= wrong
    present[list(broken)] = False
    field = Pictures(cells, form, present) if values is None else Field(torch.from_numpy(values), present)
    return Read(cells, form, field, dict(sorted(broken.items())), sums, squares)


def decode(
    cells: PictureCells, rows: NDArray[np.int64], form: Form, present: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8], dict[int, str]]]:
    """Pieces of (places among `rows`, their pictures [n, C, H, W], {place: why it is broken}), decoded in parallel, in order.

    present: [len(rows)] which have a picture; the others are in no piece. A broken one is zeros.
    """
    wanted = np.flatnonzero(present)

    def piece(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8], dict[int, str]]:
        out, broken = np.zeros((len(places), *form.shape), dtype=np.uint8), {}
        for at, place in enumerate(places):
            try:
                out[at] = decoded(cells.raw(int(rows[place])), form.size, form.channels)
            except BrokenPictureError as error:
                broken[int(place)] = str(error)
        return places, out, broken

    pieces = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
    if len(pieces) < 2:
        yield from map(piece, pieces)
        return
    with ThreadPoolExecutor(_threads()) as pool:
        yield from pool.map(piece, pieces)


def told(cells: PictureCells, broken: Broken) -> str:
    """One sentence that names broken pictures with their rows (counted from 1) and reasons."""
    named = [f"row {row + 1}{cells.label(row)}: {why}" for row, why in sorted(broken.items())[:NAMED]]
    more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    return f"column '{cells.name}': {len(broken)} pictures cannot be read: {'; '.join(named)}{more}"


def _looked(cells: PictureCells, row: int) -> tuple[tuple[int, int], int] | None:
    try:
        return look(cells.raw(row))
    except BrokenPictureError:
        return None


def _room(shape: Sequence[int]) -> NDArray[np.uint8]:
    """Zeros: in memory, or in a nameless file where they are many."""
    if int(np.prod(shape)) <= IN_MEMORY:
        return np.zeros(shape, dtype=np.uint8)
    with tempfile.TemporaryFile(prefix="cotrain-pictures-") as file:
        return np.memmap(file, dtype=np.uint8, mode="w+", shape=tuple(shape))


def _threads() -> int:
    return min(16, os.cpu_count() or 1)
