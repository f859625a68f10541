"""Counts: whole numbers of 0 or more behind a logarithm, Poisson or negative-binomial deviance, exposure if rows are not alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.negative_binomial import NegativeBinomialDeviance
from cotrain.losses.tweedie_deviance import poisson_deviance
from cotrain.tasks.amounts import AmountCodec, check_amounts, held_amounts, log_of_mean, mean_of_amounts
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.deviances import AmountMetrics
from cotrain.tasks.fitted import Fitted

METRICS = ("d2", "deviance", "mae", "rmse", "rmsle")


@dataclass(frozen=True)
class Count(Fitted[AmountCodec]):
    """A number of things: 0, 1, 2 ...; expected count = mean x exp(output), so that an untrained network expects about the mean.

    exposure: a column of how long, or how many, each row was looked at; then expected count = exposure x rate, the rate is what is
    predicted (per unit of exposure), and rows that lack the exposure lack the target. loss: `poisson`, or `negative_binomial`
    with the fixed dispersion a (variance mu + a mu^2; 1 unless given). metric: d2 (1 - Poisson deviance / that of the best constant
    rate), deviance, mae, rmse or rmsle. The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "count"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {
        "poisson": poisson_deviance,
        "negative_binomial": NegativeBinomialDeviance(),
    }

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    exposure: str | None = None
    weight: float = 1.0
    metric: str = "d2"
    loss: Loss = poisson_deviance
    dispersion: float | None = None
    head: HeadSettings | None = None
    source: str | None = None
    fitted: AmountCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        given = target_columns(self.name, self.columns, several=True)
        bare = tuple(column for column in given if column != self.exposure)
        if len(bare) != 1:
            raise ConfigError(
                f"task '{self.name}': columns must name one column of counts"
                + (f" beside the exposure '{self.exposure}'" if self.exposure else "")
                + f", got {list(given)}; name how long each row was looked at under exposure:"
            )
        object.__setattr__(self, "columns", bare)
        check_settings(self, known=METRICS)
        if self.dispersion is not None:
            if not isinstance(self.loss, NegativeBinomialDeviance):
                raise ConfigError(
                    f"task '{self.name}': dispersion is a setting of loss: negative_binomial; take it out, or choose that loss"
                )
            object.__setattr__(self, "loss", NegativeBinomialDeviance(self.dispersion))

    def unfitted(self) -> AmountCodec:
        columns = target_columns(self.name, self.columns)
        return AmountCodec(self.name, columns if self.exposure is None else (*columns, self.exposure), whole=True)

    @property
    def metrics(self) -> AmountMetrics:
        return AmountMetrics(self.metric)

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: expected count, per unit of exposure where there is one} for outputs [N, 1]."""
        return {self.name: self.codec.decoded(output).cpu().numpy()}

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, 1] the output of the mean amount over the members of an ensemble, from their outputs [M, N, 1]."""
        return mean_of_amounts(outputs)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[1] log(sum w y / sum w base): the best constant rate under Poisson deviance, and under the negative binomial's without exposure.

        With exposure the latter's is where sum w (y - mu) / (1 + a mu) = 0, found by halving. 0 without a label.
        """
        if self.loss is poisson_deviance:
            return log_of_mean(target, weight)
        if not isinstance(self.loss, NegativeBinomialDeviance):
            return None
        y, base, cells = held_amounts(target, weight)
        low, high = torch.full((1,), -14.0, dtype=torch.float64), torch.full((1,), 20.0, dtype=torch.float64)
        if not len(y):
            return torch.zeros(1, dtype=torch.float64)
        for _ in range(60):
            middle = (low + high) / 2
            mu = base * middle.exp()
            above = (cells * (y - mu) / (1 + self.loss.dispersion * mu)).sum() > 0
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return (low + high) / 2

    def check(self, target: Field) -> None:
        """Raises DataError unless every count is 0 or more and every base above 0."""
        check_amounts(self.name, target, zeros=True)
