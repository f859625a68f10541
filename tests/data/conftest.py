"""A toy codec, so that this room is tested without the tasks that stand above it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from cotrain.core.errors import DataError
from cotrain.core.fields import Field


@dataclass(frozen=True)
class Toy:
    """One column of numbers, centred on the training mean; a missing cell is not present."""

    columns: tuple[str, ...]
    outputs: int = 1
    mean: float | None = None

    def fit(self, frame: pl.DataFrame) -> Toy:
        values = self._values(frame)
        if not np.isfinite(values).any():
            raise DataError(f"column '{self.columns[0]}' has no training label")
        return replace(self, mean=float(np.nanmean(values)))

    def encode(self, frame: pl.DataFrame) -> Field:
        values = self._values(frame) - (self.mean or 0.0)
        present = torch.from_numpy(np.isfinite(values))
        return Field(torch.from_numpy(np.nan_to_num(values)).float().unsqueeze(1), present)

    def _values(self, frame: pl.DataFrame) -> Any:
        series = frame[self.columns[0]]
        if series.dtype == pl.String:
            series = series.rank("dense")
        return series.cast(pl.Float64).to_numpy().copy()

    def to_json(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "mean": self.mean}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> Toy:
        return Toy(tuple(stored["columns"]), mean=stored["mean"])


@pytest.fixture
def toys() -> Callable[..., dict[str, Toy]]:
    """`toys("a", "b")` is {column: codec}."""
    return lambda *names: {name: Toy((name,)) for name in names}


@pytest.fixture
def people() -> pl.DataFrame:
    """60 rows of every kind of column, some cells missing, and two targets."""
    random = np.random.default_rng(0)
    rows = 60
    age = [None if place % 7 == 3 else float(one) for place, one in enumerate(random.integers(18, 90, rows) + 0.5)]
    return pl.DataFrame(
        {
            "age": age,
            "pay": random.lognormal(3, 1, rows),
            "city": [None if place % 11 == 5 else ["Rom", "Oslo", "Bari"][place % 3] for place in range(rows)],
            "smokes": ["yes" if one else "no" for one in random.random(rows) < 0.4],
            "when": [
                f"20{10 + place % 5}-{1 + place % 12:02d}-{1 + place % 28:02d} {place % 24:02d}:00:00"
                for place in range(rows)
            ],
            "score": random.normal(size=rows),
            "ill": ["ill" if one else "well" for one in random.random(rows) < 0.5],
        }
    )
