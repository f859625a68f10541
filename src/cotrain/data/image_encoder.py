"""A column of pictures as a field of its own: values of 0 to 255, all of one size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.core.state import plain
from cotrain.data.columns import field_name
from cotrain.data.picture_cells import PictureCells
from cotrain.data.picture_settings import BrokenAction, ImageSettings
from cotrain.data.pictures import Form, Pictures, Read, form_of, read, told


@dataclass(frozen=True)
class ImageEncoder:
    """Pictures of any size as [B, C, H, W] uint8; `present` is False where a row has none, or a broken one.

    mean, std: of each channel of the training pictures, in 0 to 1. folder, broken, cache_mib: as in `ImageSettings`.
    beside: where relative paths of these rows begin if `folder` does not have them (where their table lies); it is not stored.
    """

    kind: ClassVar[str] = "image"

    name: str
    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    folder: str | None = None
    broken: BrokenAction = "missing"
    cache_mib: int = 2048
    beside: Path | None = dataclasses.field(default=None, compare=False)

    @staticmethod
    def fit(found: Read, rows: NDArray[np.int64], settings: ImageSettings) -> ImageEncoder:
        """Fitted on the given (training) rows of pictures that were read."""
        mean, std = found.moments(rows)
        return ImageEncoder(
            found.cells.name, found.form.size, found.form.channels, mean, std, settings.folder, settings.broken, settings.cache_mib
        )  # fmt: skip

    @staticmethod
    def fit_on(series: pl.Series, settings: ImageSettings) -> ImageEncoder:
        """Fitted on a column all of whose rows are training rows, which are read for it."""
        cells = PictureCells(series, folders_of(settings.folder, None))
        rows = np.arange(len(series))
        return ImageEncoder.fit(read(cells, form_of(cells, settings, rows), cache_mib=0), rows, settings)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def field(self) -> str:
        """The name of its field: the column's."""
        return field_name(self.name)

    @property
    def form(self) -> Form:
        """How its pictures are made alike."""
        return Form(self.size, self.channels)

    @property
    def spec(self) -> FieldSpec:
        """What a network may know of its pictures."""
        return FieldSpec("image", (self.name,), shape=self.form.shape, mean=self.mean, std=self.std)

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        high, wide = self.size
        return f"pictures of {high} x {wide}, {'grey' if self.channels == 1 else 'red, green, blue'}"

    def placed(self, folder: Path | None) -> ImageEncoder:
        """The same for rows whose table lies in this folder."""
        return dataclasses.replace(self, beside=folder)

    def cells(self, frame: pl.DataFrame) -> PictureCells:
        """Where the pictures of any rows lie."""
        return PictureCells(frame[self.name], folders_of(self.folder, self.beside))

    def whole(self, frame: pl.DataFrame) -> tuple[Field | Pictures, list[str]]:
        """(the field, notes) of any rows. Pictures that decoded take more than `cache_mib` are decoded when rows are taken.

        Raises DataError, naming the rows, for broken pictures where they are refused.
        """
        cells = self.cells(frame)
        if len(cells) * self.form.bytes > self.cache_mib << 20:
            return self.lazily(cells), []
        found = read(cells, self.form, cache_mib=self.cache_mib)
        if found.broken and self.broken == "refuse":
            raise DataError(refusal(found))
        return found.field, [told(cells, found.broken) + "; they count as missing"] if found.broken else []

    def lazily(self, cells: PictureCells, present: NDArray[np.bool_] | None = None) -> Pictures:
        """A field decoded when rows are taken; present: which rows have a picture that can be read, where that is known."""
        import torch

        return Pictures(cells, self.form, torch.from_numpy((cells.present if present is None else present).copy()))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {"kind": self.kind, **plain({key: one for key, one in vars(self).items() if key != "beside"})}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ImageEncoder:
        """The encoder `to_json` wrote."""
        known: dict[str, Any] = {
            key: tuple(one) if isinstance(one, list) else one for key, one in value.items() if key != "kind"
        }
        return ImageEncoder(**known)


def folders_of(folder: str | None, beside: Path | None) -> tuple[Path, ...]:
    """Where relative paths are looked for: the folder that was said, then where the table lies."""
    return (*(() if folder is None else (Path(folder),)), *(() if beside is None else (beside,)))


def refusal(found: Read) -> str:
    """The sentence that refuses broken pictures."""
    return (
        told(found.cells, found.broken)
        + "; mend them or take the rows out, or let them count as missing (data.image.broken: missing)"
    )
