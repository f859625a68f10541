"""Quantiles of a number at several levels that never cross: pinball loss, coverage and width of the outer interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.ordered import LEAST_GAP, unbased, unrisen
from cotrain.losses.pinball import Pinball, anchor_of, quantiles
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.fitted import Fitted
from cotrain.tasks.numbers import NumberCodec
from cotrain.tasks.reweighted import Reweighted, of_mean
from cotrain.tasks.scores import Array, held_rows, higher_is_better

METRICS = ("pinball", "coverage_error", "width", "mae")


@dataclass(frozen=True)
class QuantileCodec:
    """Standardised numbers as `NumberCodec` has them, and base [L]: the outputs that give the levels' quantiles of the training rows.

    >>> codec = QuantileCodec(NumberCodec("wait", ("wait",)), (0.25, 0.5)).fit(pl.DataFrame({"wait": [0.0, 2.0, 4.0]}))
    >>> codec.numbers.mean, codec.base[1]  # the median is the mean
    ((2.0,), 0.0)
    """

    classed: ClassVar[bool] = False
    """Its cells are no classes, whatever few values they have."""

    numbers: NumberCodec
    levels: tuple[float, ...]
    base: tuple[float, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.numbers.columns

    @property
    def outputs(self) -> int:
        return len(self.levels)

    def fit(self, frame: pl.DataFrame) -> QuantileCodec:
        """The codec with mean, standard deviation and quantiles of these rows. Raises DataError as `NumberCodec` does."""
        numbers = self.numbers.fit(frame)
        target = numbers.encode(frame)
        values = target.values[target.present].double().reshape(-1)
        found = torch.from_numpy(np.quantile(values.numpy(), self.levels, method="inverted_cdf"))
        return replace(
            self, numbers=numbers, base=tuple(unrisen(found, anchor_of(self.levels), least=LEAST_GAP).tolist())
        )

    def encode(self, frame: pl.DataFrame) -> Field:
        """Standardised numbers [B, 1]."""
        return self.numbers.encode(frame)

    def decoded(self, output: Tensor) -> Tensor:
        """[N, L] quantiles in the target's units, float64."""
        found = quantiles(output.double(), self.levels, self.base)
        return self.numbers.decoded(found)

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {"numbers": self.numbers.to_json(), "levels": list(self.levels), "base": list(self.base)}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> QuantileCodec:
        """The codec `to_json` was asked of."""
        return QuantileCodec(
            NumberCodec.from_json(stored["numbers"]), tuple(stored["levels"]), tuple(float(x) for x in stored["base"])
        )


@dataclass(frozen=True)
class QuantileMetrics:
    """Scores of outputs [N, L] against numbers [N, 1], in the target's units.

    pinball: mean loss over rows and levels. coverage: share of rows between the lowest and the highest quantile, ends included; it should be the difference
    of their levels, and coverage_error is how far it is from that. width: mean distance of the two. mae: of the median. Coverage, its
    error and width are NaN for a single level, mae without the level .5, all without a label.
    """

    codec: QuantileCodec
    primary: str = "pinball"

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        found = dict.fromkeys(("pinball", "coverage", "coverage_error", "width", "mae"), math.nan)
        values, truth, weights = held_rows(output, target, weight)
        if not len(truth) or not np.isfinite(values).all():
            return found
        guess, truth = self._units(values, truth)
        levels = self.codec.levels
        found["pinball"] = float(np.average(self._pinball(guess, truth), weights=weights))
        if len(levels) > 1:
            within = (guess[:, 0] <= truth) & (truth <= guess[:, -1])
            found["coverage"] = float(np.average(within, weights=weights))
            found["coverage_error"] = abs(found["coverage"] - (levels[-1] - levels[0]))
            found["width"] = float(np.average(guess[:, -1] - guess[:, 0], weights=weights))
        if 0.5 in levels:
            found["mae"] = float(np.average(np.abs(truth - guess[:, levels.index(0.5)]), weights=weights))
        return found

    def reweighted(self, output: Array, target: Array) -> Reweighted | None:
        """The primary error under many weightings of these rows; None where there is no form for it."""
        guess, truth = self._units(output, target)
        if self.primary == "pinball":
            return of_mean(self._pinball(guess, truth))
        if self.primary == "mae" and 0.5 in self.codec.levels:
            return of_mean(np.abs(truth - guess[:, self.codec.levels.index(0.5)]))
        return None

    def _units(self, output: Array, target: Array) -> tuple[Array, Array]:
        truth = self.codec.numbers.decoded(torch.from_numpy(target).reshape(-1, 1)).numpy()[:, 0]
        return self.codec.decoded(torch.from_numpy(output)).numpy(), truth

    def _pinball(self, guess: Array, truth: Array) -> Array:
        level, apart = np.array(self.codec.levels), truth[:, None] - guess
        out: Array = np.maximum(level * apart, (level - 1) * apart).mean(1)
        return out

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


@dataclass(frozen=True)
class Quantile(Fitted[QuantileCodec]):
    """A number by several of its quantiles, such as what it stays below in 9 of 10 cases.

    levels: rising, between 0 and 1; the outer two make the interval whose coverage and width are scored. The quantile nearest the median is
    predicted, the others as distances from it that cannot be negative, so that no two cross. metric: pinball, coverage_error, width
    or mae (of the median, where .5 is among the levels). The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "quantile"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"pinball": Pinball()}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    levels: Sequence[float] = (0.1, 0.5, 0.9)
    weight: float = 1.0
    metric: str = "pinball"
    loss: Loss = losses["pinball"]
    head: HeadSettings | None = None
    source: str | None = None
    fitted: QuantileCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", target_columns(self.name, self.columns))
        object.__setattr__(self, "levels", tuple(float(level) for level in self.levels))
        check_settings(self, known=METRICS)
        try:
            loss = Pinball(tuple(self.levels), self.codec.base)
        except ConfigError as error:
            raise ConfigError(f"task '{self.name}': {error}") from None
        if isinstance(self.loss, Pinball):
            object.__setattr__(self, "loss", loss)
        impossible = (len(self.levels) < 2 and self.metric in ("coverage_error", "width")) or (
            self.metric == "mae" and 0.5 not in self.levels
        )
        if impossible:
            raise ConfigError(
                f"task '{self.name}': metric '{self.metric}' cannot be told from the levels {list(self.levels)}; use pinball, or add levels"
            )

    def unfitted(self) -> QuantileCodec:
        return QuantileCodec(NumberCodec(self.name, target_columns(self.name, self.columns)), tuple(self.levels))

    @property
    def metrics(self) -> QuantileMetrics:
        return QuantileMetrics(self.codec, self.metric)

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: the quantile nearest the median, name_LEVEL: each of them}, in the target's units, for outputs [N, L]."""
        found = self.codec.decoded(output).cpu().numpy()
        levels = self.codec.levels
        out = {self.name: found[:, anchor_of(levels)]}
        return out | {f"{self.name}_{level:g}": found[:, index] for index, level in enumerate(levels)}

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, L] the outputs that give the mean quantiles over the members of an ensemble, from their outputs [M, N, L]."""
        codec = self.codec
        found = quantiles(outputs.double().flatten(0, 1), codec.levels, codec.base).reshape(outputs.shape).mean(0)
        return unbased(unrisen(found, anchor_of(codec.levels)), codec.base).to(outputs.dtype)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[L] the outputs whose quantiles are those of the weighted targets; the training rows' own where there is no label."""
        if not isinstance(self.loss, Pinball):
            return None
        cells = cell_weight(target, weight).double().reshape(-1)
        levels = torch.tensor(self.codec.levels, dtype=torch.float64, device=cells.device)
        if not bool(cells.sum() > 0):
            return torch.zeros_like(levels)
        values, order = target.filled().double().reshape(-1).sort()
        reached = cells[order].cumsum(0)
        first = torch.searchsorted(reached, levels * reached[-1] * (1 - 1e-12)).clamp_max(len(values) - 1)
        return unbased(unrisen(values[first], anchor_of(self.codec.levels)), self.codec.base)

    def check(self, target: Field) -> None:
        """Any number will do."""
