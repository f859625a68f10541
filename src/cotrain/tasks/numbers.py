"""Number targets: one or several columns, standardised on the training rows, missing cells masked one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field

MISSING = ("", "?", "-", "na", "n/a", "nan", "null", "none")
"""Words that are no number and mean that there is none, in any case."""


def read_numbers(task: str, columns: Sequence[str], frame: pl.DataFrame) -> NDArray[np.float64]:
    """[N, C] the columns as numbers, NaN where a cell is missing. Raises DataError for words and infinite cells, naming the column."""
    found = []
    for name in columns:
        series = frame[name]
        if series.dtype.is_nested() or series.dtype == pl.Object:
            raise DataError(
                f"task '{task}': column '{name}' should hold numbers, but its cells are {series.dtype}; give one number a row"
            )
        if series.dtype in (pl.Categorical, pl.Enum):
            series = series.cast(pl.String)
        cast = series.cast(pl.Float64, strict=False)
        words = cast.is_null() & series.is_not_null()
        if series.dtype == pl.String:
            text = series.str.strip_chars()
            cast = text.cast(pl.Float64, strict=False)
            words = cast.is_null() & series.is_not_null() & ~text.str.to_lowercase().is_in(list(MISSING))
        if words.any():
            many = int(words.sum())
            cells = "one cell holds" if many == 1 else f"{many} cells hold words such as"
            raise DataError(
                f"task '{task}': column '{name}' should hold numbers, but {cells} '{series.filter(words)[0]}'; "
                "correct or empty such cells, or use kind: multiclass"
            )
        values = cast.to_numpy().astype(np.float64)
        infinite = np.isinf(values)
        if infinite.any():
            raise DataError(
                f"task '{task}': column '{name}' should hold finite numbers, but {int(infinite.sum())} of its cells "
                "are infinite; correct them or leave them empty (an empty target only masks its row for this task)"
            )
        found.append(values)
    return np.stack(found, 1) if found else np.empty((len(frame), 0))


@dataclass(frozen=True)
class NumberCodec:
    """values [B, C] = (y - mean) / scale, column by column; a missing cell is not valid, a row with none is not present.

    Empty `mean` means not fitted (then values pass through as they are).

    >>> codec = NumberCodec("age", ("age",)).fit(pl.DataFrame({"age": [20.0, None, 40.0]}))
    >>> codec.mean, codec.scale, codec.encode(pl.DataFrame({"age": ["50", "?"]})).values.tolist()
    ((30.0,), (10.0,), [[2.0], [0.0]])
    """

    classed: ClassVar[bool] = False
    """Its cells are no classes, whatever few values they have."""

    task: str
    columns: tuple[str, ...]
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        return len(self.columns)

    def fit(self, frame: pl.DataFrame) -> NumberCodec:
        """The codec with mean and standard deviation of these rows. Raises DataError for words, infinite cells, no or constant numbers."""
        numbers = read_numbers(self.task, self.columns, frame)
        means, scales = [], []
        for column, values in zip(self.columns, numbers.T, strict=True):
            held = values[~np.isnan(values)]
            if held.size == 0:
                raise DataError(
                    f"task '{self.task}': column '{column}' holds no number in the training rows; check the column or the split"
                )
            mean, scale = float(held.mean()), float(held.std())
            if scale <= 1e-12 * abs(mean):
                raise DataError(
                    f"task '{self.task}': column '{column}' is {mean:g} in all {held.size} training rows that have it; there is nothing to predict"
                )
            means.append(mean)
            scales.append(scale)
        return replace(self, mean=tuple(means), scale=tuple(scales))

    def encode(self, frame: pl.DataFrame) -> Field:
        """Standardised values [B, C]. Raises DataError for words and infinite cells, naming the column."""
        numbers = read_numbers(self.task, self.columns, frame)
        missing = np.isnan(numbers)
        if self.mean:
            numbers = (numbers - np.array(self.mean)) / np.array(self.scale)
        values = torch.from_numpy(np.where(missing, 0.0, numbers).astype(np.float32))
        valid = torch.from_numpy(~missing)
        present = valid.any(1)
        return Field(values, present, None, None if missing.shape[1] == 1 else valid)

    def notes(self, frame: pl.DataFrame) -> list[str]:
        """Nothing: what is no number is refused, not passed over."""
        return []

    def decoded(self, values: Tensor) -> Tensor:
        """[N, C] standardised -> the target's own units, float64."""
        if not self.mean:
            return values.double()
        scale = torch.tensor(self.scale, dtype=torch.float64, device=values.device)
        mean = torch.tensor(self.mean, dtype=torch.float64, device=values.device)
        return values.double() * scale + mean

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {"task": self.task, "columns": list(self.columns), "mean": list(self.mean), "scale": list(self.scale)}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> NumberCodec:
        """The codec `to_json` was asked of."""
        return NumberCodec(stored["task"], tuple(stored["columns"]), tuple(stored["mean"]), tuple(stored["scale"]))
