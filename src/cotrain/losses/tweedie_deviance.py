"""Tweedie deviances: of counts (Poisson), of amounts with zeros, of positive amounts (gamma)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field, weighted
from cotrain.losses.log_link import amounts


def unit_deviance(y: Tensor, log_mu: Tensor, power: float) -> Tensor:
    """d_p(y, mu), shaped like y: 0 where mu = y, above it elsewhere. power p in [1, 2]; y >= 0, above 0 for p = 2.

    With u = log(mu / y) this is 2 y^(2-p) [expm1((2-p) u) / (2-p) - expm1((1-p) u) / (1-p)], limits taken at p = 1 and p = 2, and
    2 mu^(2-p) / (2-p) where y = 0: the textbook's difference of powers, in a form that loses no digits near mu = y.
    """
    some = y > 0
    u = log_mu - torch.where(some, y, y.new_ones(())).log()
    first = u if power == 2 else torch.expm1((2 - power) * u) / (2 - power)
    second = u if power == 1 else torch.expm1((1 - power) * u) / (1 - power)
    held = y.clamp_min(0) ** (2 - power) * (first - second)
    if power == 2:
        return 2 * held.clamp_min(0)
    return 2 * torch.where(some, held.clamp_min(0), torch.exp((2 - power) * log_mu) / (2 - power))


@dataclass(frozen=True)
class TweedieDeviance:
    """sum w d_p(y, mu), and sum w, for outputs o [N, 1] and targets (y, base) [N, 2] or y [N]; mu = base exp(o).

    The variance grows as mu^p. power p in [1, 2]: 1 is Poisson, 2 gamma; between them the distribution is a sum of a Poisson number
    of gamma amounts, with a share of exact zeros. The default 1.5 is in the middle.

    Source: B. Jorgensen, Exponential Dispersion Models, Journal of the Royal Statistical Society B 49, 1987.

    >>> total, _ = TweedieDeviance(power=1)(torch.zeros(1, 1), Field.dense(torch.tensor([2.0])), None)
    >>> round(float(total), 4)  # 2 (2 log 2 - 1)
    0.7726
    """

    power: float = 1.5

    def __post_init__(self) -> None:
        if not 1 <= self.power <= 2:
            raise ConfigError(
                f"power of a Tweedie deviance must lie in [1, 2], got {self.power}; 1 is for counts, 2 for amounts without zeros"
            )

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        y, log_mu = amounts(output, target)
        if self.power == 2:
            y = torch.where(target.held().reshape(-1), y, y.new_ones(()))
        return weighted(unit_deviance(y, log_mu, self.power).reshape(target.held().shape), target, weight)


def poisson_deviance(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w 2 (y log(y / mu) - (y - mu)), and sum w: the deviance of counts y [N] or (y, base) [N, 2] at mu = base exp(output)."""
    return TweedieDeviance(1.0)(output, target, weight)


def gamma_deviance(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w 2 (y / mu - 1 - log(y / mu)), and sum w: the deviance of amounts y > 0, whose spread grows as their mean."""
    return TweedieDeviance(2.0)(output, target, weight)
