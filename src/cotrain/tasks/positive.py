"""Positive amounts behind a logarithm: Tweedie deviance (zeros allowed), gamma deviance, or squared error of logarithms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.log_squared_error import log_squared_error
from cotrain.losses.tweedie_deviance import TweedieDeviance, gamma_deviance
from cotrain.tasks.amounts import AmountCodec, check_amounts, held_amounts, log_of_mean, mean_of_amounts
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.deviances import NAMES, AmountMetrics
from cotrain.tasks.fitted import Fitted


@dataclass(frozen=True)
class Positive(Fitted[AmountCodec]):
    """An amount of 0 or more: a price, a duration, a claim; prediction = mean x exp(output), never negative.

    loss: `tweedie` of the given power (above 1, below 2; 1.5 unless given), which allows exact zeros; `gamma`, for amounts above 0
    whose spread grows as their mean; `log_normal`, squared error of logarithms, for amounts above 0: its prediction is the median, not the
    mean, so that sums come out too small where amounts are skewed (mean_ratio says by how much). metric: d2 (1 - deviance / that of the
    best constant; the loss's own power, gamma's for log_normal), deviance, rmse, mae or rmsle. The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "positive"
    metric_names: ClassVar[tuple[str, ...]] = NAMES
    losses: ClassVar[Mapping[str, Loss]] = {
        "tweedie": TweedieDeviance(),
        "gamma": gamma_deviance,
        "log_normal": log_squared_error,
    }

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    weight: float = 1.0
    metric: str = "d2"
    loss: Loss = losses["tweedie"]
    power: float | None = None
    head: HeadSettings | None = None
    source: str | None = None
    fitted: AmountCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", target_columns(self.name, self.columns))
        check_settings(self, known=NAMES)
        if self.power is not None:
            if not isinstance(self.loss, TweedieDeviance) or not 1 < self.power < 2:
                raise ConfigError(
                    f"task '{self.name}': power is a setting of loss: tweedie and must lie between 1 and 2, got {self.power}; "
                    "use kind: count for 1, loss: gamma for 2"
                )
            object.__setattr__(self, "loss", TweedieDeviance(self.power))

    @property
    def zeros(self) -> bool:
        """Whether amounts of 0 may occur."""
        return self.loss not in (gamma_deviance, log_squared_error)

    def unfitted(self) -> AmountCodec:
        return AmountCodec(self.name, target_columns(self.name, self.columns), zeros=self.zeros)

    @property
    def metrics(self) -> AmountMetrics:
        power = self.loss.power if isinstance(self.loss, TweedieDeviance) else 1.5 if self.zeros else 2.0
        return AmountMetrics(self.metric, power)

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: expected amount (log_normal: median amount)} for outputs [N, 1]."""
        return {self.name: self.codec.decoded(output).cpu().numpy()}

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, 1] the output of the mean amount over the members of an ensemble, from their outputs [M, N, 1]."""
        return mean_of_amounts(outputs)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[1] the log of the weighted mean over that of the training rows (log_normal: the weighted mean of logs); 0 without a label."""
        if isinstance(self.loss, TweedieDeviance) or self.loss is gamma_deviance:
            return log_of_mean(target, weight)
        if self.loss is not log_squared_error:
            return None
        y, base, cells = held_amounts(target, weight)
        return ((cells * (y / base).log()).sum() / cells.sum().clamp_min(1e-300)).reshape(1)

    def check(self, target: Field) -> None:
        """Raises DataError unless every amount is 0 or more (above 0 for gamma and log_normal)."""
        check_amounts(self.name, target, zeros=self.zeros)
