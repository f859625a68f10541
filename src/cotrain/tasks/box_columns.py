"""Box targets: four columns of a row as one box in shares of its picture, the way back, and where it goes when its picture is moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.losses.boxes import centre_of
from cotrain.tasks.numbers import read_numbers

Mask = NDArray[np.bool_]
Form = Literal["corners", "centre", "corner_size"]
Degenerate = Literal["missing", "refuse"]

SLACK = 1e-4
"""A box may reach so far (in shares) beyond its picture before that is said: what rounding of pixels and of text leaves."""
SHOWN = 5


@dataclass(frozen=True)
class BoxCodec:
    """values [B, 4] x0, y0, x1, y1 in shares of the picture; a row without a box, or with a degenerate one, is not present.

    columns: the four, in the order of `form`. form: corners (x0, y0, x1, y1), centre (cx, cy, w, h) or corner_size (x0, y0, w, h). size: width and
    height of the picture in the units of the columns. degenerate: what becomes of boxes without width or height or wholly outside of
    the picture. visible: share of a box that must stay in a picture that is moved (`moved`). A box that reaches beyond the picture is cut to it.

    >>> codec = BoxCodec("cat", ("x", "y", "w", "h"), form="corner_size", size=(200.0, 100.0))
    >>> codec.encode(pl.DataFrame({"x": [50, 0], "y": [50, 0], "w": [100, 0], "h": [25, 10]})).values.tolist()
    [[0.25, 0.5, 0.75, 0.75], [0.0, 0.0, 0.0, 0.0]]
    """

    classed: ClassVar[bool] = False
    """Its cells are no classes, whatever few values they have."""

    task: str
    columns: tuple[str, ...]
    form: Form = "corners"
    size: tuple[float, float] = (1.0, 1.0)
    degenerate: Degenerate = "missing"
    visible: float = 0.25

    @property
    def outputs(self) -> int:
        return 4

    def fit(self, frame: pl.DataFrame) -> BoxCodec:
        """The same codec, once these rows were looked at: nothing is learnt.

        Raises DataError for words and infinite cells, without a single box, and where most boxes lie beyond the picture (its size is wrong).
        """
        seen = self._read(frame)
        if not seen.held.any():
            raise DataError(
                f"task '{self.task}': columns {self._named()} hold no box in the training rows; check the columns or the split"
            )
        beyond = seen.held & (seen.outside | seen.cut)
        if beyond.sum() * 2 > seen.held.sum():
            top = np.nanmax(np.abs(seen.units[seen.held]), axis=0)
            far = f"{top[[0, 2]].max():g} x {top[[1, 3]].max():g}"
            raise DataError(
                f"task '{self.task}': {int(beyond.sum())} of {int(seen.held.sum())} boxes of columns {self._named()} reach beyond a picture of "
                f"{self.size[0]:g} x {self.size[1]:g}, up to {far}; give the picture's size in the columns' units, size: [width, height], "
                f"and their form (here {self.form})"
            )
        if self.degenerate == "refuse" and seen.degenerate.any():
            raise DataError(f"task '{self.task}': {self._degenerate(seen)}; correct them, or say degenerate: missing")
        if not seen.good.any():
            raise DataError(f"task '{self.task}': {self._degenerate(seen)}; no box is left to learn from")
        return self

    def encode(self, frame: pl.DataFrame) -> Field:
        """[B, 4] corners in shares. Raises DataError for words and infinite cells, and for degenerate boxes where they are refused."""
        seen = self._read(frame)
        if self.degenerate == "refuse" and seen.degenerate.any():
            raise DataError(f"task '{self.task}': {self._degenerate(seen)}; correct them, or say degenerate: missing")
        values = np.where(seen.good[:, None], np.clip(seen.corners, 0.0, 1.0), 0.0)
        return Field(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(seen.good))

    def notes(self, frame: pl.DataFrame) -> list[str]:
        """Boxes that count as missing, boxes that are cut to their picture, and rows with some of the four numbers only."""
        seen = self._read(frame)
        found = []
        if seen.degenerate.any():
            found.append(f"{self._degenerate(seen)}; they count as missing")
        cut: Mask = seen.cut & seen.good
        if cut.any():
            found.append(
                f"{_counted(cut, 'box reaches', 'boxes reach')} beyond the picture {_rows(cut)}; what lies outside is cut off"
            )
        if seen.torn.any():
            found.append(
                f"{_counted(seen.torn, 'row has', 'rows have')} some of the four numbers only {_rows(seen.torn)}; their boxes count as missing"
            )
        return [f"task '{self.task}': {one}" for one in found]

    def decoded(self, corners: Tensor) -> Tensor:
        """[N, 4] corners in shares -> the columns' own form and units, float64."""
        units = corners.double() * torch.tensor(self.size * 2, dtype=torch.float64, device=corners.device)
        if self.form == "corners":
            return units
        centre = centre_of(units)
        return centre if self.form == "centre" else torch.cat([units[:, :2], centre[:, 2:]], 1)

    def moved(self, field: Field, matrix: Tensor) -> Field:
        """The boxes after their pictures were moved: the hull of the moved corners, cut to the picture.

        matrix: [B, 2, 3], where a point p (in shares of the picture, (0, 0) at the upper left) goes: q = A p + b. A box of which less than
        `visible` stays in the picture is no longer present.
        """
        x0, y0, x1, y1 = field.values.unbind(1)
        points = torch.stack([torch.stack([x0, x1, x1, x0], 1), torch.stack([y0, y0, y1, y1], 1)], 1)  # [B, 2, 4]
        matrix = matrix.to(points)
        gone = matrix[:, :, :2] @ points + matrix[:, :, 2:]
        hull = torch.cat([gone.amin(2), gone.amax(2)], 1)
        inside = hull.clamp(0, 1)
        left, whole = (inside[:, 2:] - inside[:, :2]).prod(1), (hull[:, 2:] - hull[:, :2]).prod(1)
        present = field.present & (left > 0) & (left >= self.visible * whole)
        values = torch.where(present.unsqueeze(1), inside, inside.new_zeros(()))
        return Field(values, present, None, None, field.weight)

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {
            "task": self.task,
            "columns": list(self.columns),
            "form": self.form,
            "size": list(self.size),
            "degenerate": self.degenerate,
            "visible": self.visible,
        }

    @staticmethod
    def from_json(stored: dict[str, Any]) -> BoxCodec:
        """The codec `to_json` was asked of."""
        width, height = stored["size"]
        return BoxCodec(
            stored["task"],
            tuple(stored["columns"]),
            stored["form"],
            (width, height),
            stored["degenerate"],
            stored["visible"],
        )

    def _named(self) -> str:
        return ", ".join(f"'{name}'" for name in self.columns)

    def _read(self, frame: pl.DataFrame) -> Seen:
        numbers = read_numbers(self.task, self.columns, frame)
        low, high = numbers[:, :2], numbers[:, 2:]
        if self.form == "centre":
            low, high = low - high / 2, low + high / 2
        elif self.form == "corner_size":
            high = low + high
        return Seen(numbers, np.concatenate([low, high], 1), np.array(self.size))

    def _degenerate(self, seen: Seen) -> str:
        thin, away = seen.held & seen.thin, seen.held & seen.outside & ~seen.thin
        parts = []
        if thin.any():
            parts.append(
                f"{_counted(thin, 'box has', 'boxes have')} no width or no height {_rows(thin)}{self._swapped(seen)}"
            )
        if away.any():
            parts.append(f"{_counted(away, 'box lies', 'boxes lie')} outside of the picture {_rows(away)}")
        return ", ".join(parts)

    def _swapped(self, seen: Seen) -> str:
        """A hint where the second corner lies before the first, as width and height would."""
        negative = (seen.corners[:, 2:] < seen.corners[:, :2] - SLACK).any(1) & seen.held
        return " (is the form corner_size?)" if self.form == "corners" and negative.any() else ""


class Seen:
    """The cells of some rows as boxes: units [B, 4] as they stand, corners [B, 4] in shares (NaN where a cell is missing), and masks [B].

    held: all four cells are there. torn: some are. thin: no width or height. outside: wholly beyond the picture. cut: reaches beyond it.
    degenerate: held, and thin or outside. good: held, and neither.
    """

    def __init__(self, numbers: NDArray[np.float64], corners: NDArray[np.float64], size: NDArray[np.float64]) -> None:
        missing = np.isnan(numbers)
        self.units = corners
        self.corners = np.nan_to_num(corners / np.concatenate([size, size]))
        self.held: Mask = missing.sum(1) == 0
        self.torn: Mask = (missing.sum(1) > 0) & (missing.sum(1) < 4)
        low, high = self.corners[:, :2], self.corners[:, 2:]
        self.thin: Mask = (high <= low).any(1)
        self.outside: Mask = (low >= 1).any(1) | (high <= 0).any(1)
        self.cut: Mask = ((low < -SLACK).any(1) | (high > 1 + SLACK).any(1)) & ~self.outside
        self.degenerate: Mask = self.held & (self.thin | self.outside)
        self.good: Mask = self.held & ~self.degenerate


def _counted(mask: NDArray[np.bool_], one: str, many: str) -> str:
    count = int(mask.sum())
    return f"{count} {one if count == 1 else many}"


def _rows(mask: NDArray[np.bool_]) -> str:
    """(row 3), (rows 3, 5, 9 ...): counted from 1.

    >>> _rows(np.array([False, True, True]))
    '(rows 2, 3)'
    """
    found = (np.flatnonzero(mask) + 1).tolist()
    return f"(row{'s' * (len(found) > 1)} {', '.join(map(str, found[:SHOWN]))}{' ...' if len(found) > SHOWN else ''})"
