"""The cells of one field while encoders fill them, column after column."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.data.columns import FIELDS, ColumnEncoder, FoldedEncoder, Part


class Block:
    """The cells of one field while encoders fill them, column after column."""

    def __init__(self, name: str, spec: FieldSpec, rows: int) -> None:
        self.values: NDArray[Any] = np.empty((rows, len(spec.names)), dtype=FIELDS[name][1])
        self.valid: NDArray[np.bool_] | None = None
        self.filled = 0

    def add(self, part: Part, width: int) -> None:
        start, self.filled = self.filled, self.filled + width
        if isinstance(part.values, np.ndarray):
            self.values[:, start : self.filled] = part.values
        else:
            for place, values in enumerate(part.values):
                self.values[:, start + place] = values
        for place, held in enumerate(part.valid):
            if held is not None and not held.all():
                if self.valid is None:
                    self.valid = np.ones(self.values.shape, dtype=np.bool_)
                self.valid[:, start + place] = held

    def field(self) -> Field:
        return Field.dense(torch.from_numpy(self.values), None if self.valid is None else torch.from_numpy(self.valid))


def out_of_fold(one: ColumnEncoder, frame: pl.DataFrame, part: Part, places: NDArray[np.int64]) -> Part:
    """The part with the values that rows of the training split get, where the encoder has such."""
    inside = np.flatnonzero(places >= 0)
    if not isinstance(one, FoldedEncoder) or not len(inside):
        return part
    own = one.training_part(frame[inside], places[inside])
    columns: list[NDArray[Any]] = []
    for later, now in zip(_listed(part), _listed(own), strict=True):
        column = later.copy()
        column[inside] = now
        columns.append(column)
    return Part(columns, part.valid, part.notes)


def _listed(part: Part) -> list[NDArray[Any]]:
    return list(part.values.T) if isinstance(part.values, np.ndarray) else list(part.values)
