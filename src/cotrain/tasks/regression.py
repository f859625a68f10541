"""One number or several: standardised targets, squared or absolute error, metrics in the target's own units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.absolute_error import absolute_error
from cotrain.losses.squared_error import squared_error
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.numbers import NumberCodec
from cotrain.tasks.scores import error_of, higher_is_better

METRICS = ("rmse", "rrmse", "mae", "r2")


@dataclass(frozen=True)
class RegressionMetrics:
    """Scores on standardised outputs [N, C], in the units of the target; several columns are averaged, and given one by one beside.

    rmse, mae: in the target's units. rrmse: RMSE over that of the mean of the scored rows, averaged over columns (aRRMSE of the
    multi-target literature). r2: 1 - squared error / variance, averaged over columns. A column that has no label, or does not vary,
    has no figure (NaN) and is left out of the average.
    """

    codec: NumberCodec
    primary: str = "rmse"

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        values, cells = _columns(target, weight)
        truth, guess = self.codec.decoded(values), self.codec.decoded(output)
        per_column = [
            _scores(truth[:, column].cpu().numpy(), guess[:, column].cpu().numpy(), cells[:, column].cpu().numpy())
            for column in range(truth.shape[1])
        ]
        out = {name: _mean([one[name] for one in per_column if name in one]) for name in METRICS}
        if len(per_column) > 1:
            names = (
                self.codec.columns
                if len(self.codec.columns) == len(per_column)
                else [str(i) for i in range(len(per_column))]
            )
            out |= {
                f"{name}/{column}": one.get(name, math.nan)
                for column, one in zip(names, per_column, strict=True)
                for name in METRICS
            }
        return out

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


def _columns(target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Values and weights as [N, C], float64."""
    values = target.filled().double().reshape(len(target.values), -1)
    cells = cell_weight(target, weight).double()
    return values, cells.reshape(len(cells), -1).expand(values.shape)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _scores(truth: Any, guess: Any, weight: Any) -> dict[str, float]:
    """The figures that one column has: none without a label, no relative ones where it does not vary."""
    keep = weight > 0
    if not keep.any():
        return {}
    truth, guess, weight = truth[keep], guess[keep], weight[keep]
    square = float(np.average((guess - truth) ** 2, weights=weight))
    spread = float(np.average((truth - np.average(truth, weights=weight)) ** 2, weights=weight))
    found = {"rmse": math.sqrt(square), "mae": float(np.average(np.abs(guess - truth), weights=weight))}
    if truth.max() > truth.min():
        found |= {"rrmse": math.sqrt(square / spread), "r2": 1 - square / spread}
    return found


@dataclass(frozen=True)
class Regression:
    """A number, or several predicted by one head.

    columns: the target's columns, one output each; the task's name if not given. loss: squared error (its best constant is the
    mean), absolute error (the median), or a function of your own. metric: rmse for one column, rrmse for several, unless given. The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "regression"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"squared": squared_error, "absolute": absolute_error}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    weight: float = 1.0
    metric: str | None = None
    loss: Loss = squared_error
    head: HeadSettings | None = None
    source: str | None = None
    fitted: NumberCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", target_columns(self.name, self.columns, several=True))
        check_settings(self, known=METRICS)

    @property
    def codec(self) -> NumberCodec:
        return self.fitted or self._unfitted()

    def _unfitted(self) -> NumberCodec:
        return NumberCodec(self.name, target_columns(self.name, self.columns, several=True))

    @property
    def outputs(self) -> int:
        return self.codec.outputs

    @property
    def metrics(self) -> RegressionMetrics:
        return RegressionMetrics(self.codec, self.metric or ("rmse" if self.outputs == 1 else "rrmse"))

    def error(self, scores: dict[str, float]) -> float:
        """The primary error, lower is better (RMSE for one column)."""
        return error_of(self.metrics.primary, scores[self.metrics.primary])

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{column: number in the target's units} for outputs [N, C]."""
        numbers = self.codec.decoded(output).cpu().numpy()
        names = [self.name] if self.outputs == 1 else [f"{self.name}_{column}" for column in self.codec.columns]
        return {name: numbers[:, index] for index, name in enumerate(names)}

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[C] the weighted mean (squared error) or median (absolute error) of every column; 0 where a column has no label."""
        if self.loss not in (squared_error, absolute_error):
            return None
        values, cells = _columns(target, weight)
        if self.loss is squared_error:
            return (values * cells).sum(0) / cells.sum(0).clamp_min(1e-300)
        order = values.argsort(0)
        above = cells.gather(0, order).cumsum(0) >= cells.sum(0) / 2
        first = above.int().argmax(0, keepdim=True)
        return values.gather(0, order).gather(0, first).squeeze(0)

    def check(self, target: Field) -> None:
        """Any number will do."""

    def with_codec(self, codec: NumberCodec) -> Regression:
        """The same task with a fitted codec."""
        return replace(self, fitted=codec)

    def refitted(self, frame: Any) -> Regression:
        """The same task with mean and scale of these rows (a frame that holds its columns)."""
        return self.with_codec(self._unfitted().fit(frame))
