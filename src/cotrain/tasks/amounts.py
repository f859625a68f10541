"""Targets that are amounts of 0 or more, beside the amount that is expected of a row of which nothing else is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field, cell_weight
from cotrain.losses.log_link import log_ratio
from cotrain.tasks.numbers import read_numbers


@dataclass(frozen=True)
class AmountCodec:
    """values [B, 2] = (y, mean x exposure): the amount, and what the training rows' mean would make of it; exposure 1 without such a column.

    columns: the amount's, then that of the exposure if there is one. whole: only whole numbers. zeros: 0 may occur. mean: of the training
    rows, sum y / sum exposure; 0 before `fit`, when values are (y, exposure). A row that lacks either is not present.

    >>> codec = AmountCodec("claims", ("n", "years")).fit(pl.DataFrame({"n": [0, 3, None], "years": [1.0, 2.0, 1.0]}))
    >>> codec.mean, codec.encode(pl.DataFrame({"n": [1, None], "years": [3.0, 1.0]})).values.tolist()
    (1.0, [[1.0, 3.0], [0.0, 1.0]])
    """

    classed: ClassVar[bool] = False
    """Its cells are no classes, whatever few values they have."""

    task: str
    columns: tuple[str, ...]
    whole: bool = False
    zeros: bool = True
    mean: float = 0.0

    @property
    def outputs(self) -> int:
        return 1

    def fit(self, frame: pl.DataFrame) -> AmountCodec:
        """The codec with the mean of these rows. Raises DataError for cells that are no such amounts, for none, and for equal ones."""
        amount, exposure, held = self._read(frame)
        where = f"task '{self.task}': column '{self.columns[0]}'"
        if not held.any():
            raise DataError(f"{where} holds no amount in the training rows; check the column or the split")
        total, shared = float(amount[held].sum()), float(exposure[held].sum())
        if total == 0 or (np.ptp(amount[held]) == 0 and np.ptp(exposure[held]) == 0):
            raise DataError(
                f"{where} is {amount[held][0]:g} in all {int(held.sum())} training rows that have it; there is nothing to predict"
            )
        return replace(self, mean=total / shared)

    def encode(self, frame: pl.DataFrame) -> Field:
        """(y, mean x exposure) [B, 2]. Raises DataError for cells that are no such amounts, naming column and row."""
        amount, exposure, held = self._read(frame)
        base = exposure * (self.mean or 1.0)
        values = np.stack([np.where(held, amount, 0.0), np.where(held, base, 1.0)], 1)
        return Field(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(held))

    def decoded(self, output: Tensor) -> Tensor:
        """[N] the expected amount, per unit of exposure, of outputs [N, 1]; float64."""
        return log_ratio(output.double().reshape(-1)).exp() * (self.mean or 1.0)

    def _read(self, frame: pl.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        numbers = read_numbers(self.task, self.columns, frame)
        amount = numbers[:, 0]
        exposure = numbers[:, 1] if len(self.columns) > 1 else np.ones(len(amount))
        self._refuse(amount < 0, 0, "amounts of 0 or more", amount, "use kind: regression if they are right")
        if self.whole:
            self._refuse(amount % 1 > 0, 0, "whole numbers", amount, "use kind: positive for amounts")
        if not self.zeros:
            self._refuse(amount == 0, 0, "amounts above 0", amount, "use loss: tweedie, which allows 0")
        if len(self.columns) > 1:
            self._refuse(exposure <= 0, 1, "an exposure above 0", exposure, "empty the cells of rows that do not count")
        return amount, exposure, ~np.isnan(amount) & ~np.isnan(exposure)

    def _refuse(self, wrong: NDArray[np.bool_], column: int, what: str, cells: NDArray[np.float64], hint: str) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"task '{self.task}': column '{self.columns[column]}', row {row + 1}: {what} expected, got {cells[row]:g} "
                f"({int(wrong.sum())} such rows); {hint}"
            )

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {
            "task": self.task,
            "columns": list(self.columns),
            "whole": self.whole,
            "zeros": self.zeros,
            "mean": self.mean,
        }

    @staticmethod
    def from_json(stored: dict[str, Any]) -> AmountCodec:
        """The codec `to_json` was asked of."""
        return AmountCodec(
            stored["task"], tuple(stored["columns"]), stored["whole"], stored["zeros"], float(stored["mean"])
        )


def held_amounts(target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(y, base, weight), each [M] float64, of the values that count."""
    cells = cell_weight(target, weight).double().reshape(len(target.values), -1).amax(1)
    values = target.values.double().reshape(len(target.values), -1)[cells > 0]
    base = values[:, 1] if values.shape[1] == 2 else torch.ones_like(values[:, 0])
    return values[:, 0], base, cells[cells > 0]


def log_of_mean(target: Field, weight: Tensor | None) -> Tensor:
    """[1] log(sum w y / sum w base), the constant output that expects as much as there was; 0 without a label, at least log 1e-6."""
    y, base, cells = held_amounts(target, weight)
    if not len(y):
        return cells.new_zeros(1)
    return ((cells * y).sum() / (cells * base).sum()).clamp_min(1e-6).log().reshape(1)


def mean_of_amounts(outputs: Tensor) -> Tensor:
    """[N, 1] the output that expects the mean of what outputs [M, N, 1] expect.

    >>> round(float(mean_of_amounts(torch.tensor([[[0.0]], [[math.log(3.0)]]])).exp()), 4)
    2.0
    """
    found = torch.logsumexp(log_ratio(outputs.double()), 0) - math.log(len(outputs))
    return found.to(outputs.dtype)


def check_amounts(name: str, target: Field, *, zeros: bool) -> None:
    """Raises DataError unless every amount is 0 or more (above 0 where no zeros may occur) and every base above 0."""
    y, base, _ = held_amounts(target, None)
    if len(y) and not bool((y >= 0).all() if zeros else (y > 0).all()):
        what = "of 0 or more" if zeros else "above 0"
        raise DataError(
            f"task '{name}': amounts {what} are expected, got {float(y.min()):g}; correct or leave them out"
        )
    if len(base) and not bool((base > 0).all()):
        raise DataError(
            f"task '{name}': the second column of its targets, what is expected of a row, must be above 0, got {float(base.min()):g}"
        )
