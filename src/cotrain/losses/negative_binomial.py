"""Negative-binomial deviance: counts that spread wider than Poisson's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field, weighted
from cotrain.losses.log_link import amounts


def unit_deviance(y: Tensor, log_mu: Tensor, dispersion: float) -> Tensor:
    """d(y, mu) = 2 [y log(y / mu) - (y + 1/a) log((1 + a y) / (1 + a mu))], shaped like y, with a = dispersion; y log y = 0 at y = 0."""
    some = y > 0
    u = log_mu - torch.where(some, y, y.new_ones(())).log()
    ratio = torch.log1p(dispersion * log_mu.exp()) - torch.log1p(dispersion * y)
    return 2 * ((y + 1 / dispersion) * ratio - torch.where(some, y * u, y.new_zeros(()))).clamp_min(0)


@dataclass(frozen=True)
class NegativeBinomialDeviance:
    """sum w d(y, mu), and sum w, for outputs o [N, 1] and counts y [N] or (y, base) [N, 2]; mu = base exp(o).

    The variance is mu + a mu^2 with the dispersion a > 0, which is fixed: towards 0 it is Poisson's, 1 (the geometric distribution) is the default of
    statsmodels' GLM family.

    Source: J. M. Hilbe, Negative Binomial Regression, Cambridge 2011.

    >>> total, _ = NegativeBinomialDeviance()(torch.zeros(1, 1), Field.dense(torch.tensor([0.0])), None)
    >>> round(float(total), 4)  # 2 log 2
    1.3863
    """

    dispersion: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.dispersion < math.inf:
            raise ConfigError(
                f"dispersion of a negative binomial must be a positive number, got {self.dispersion}; for none use loss: poisson"
            )

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        y, log_mu = amounts(output, target)
        return weighted(unit_deviance(y, log_mu, self.dispersion).reshape(target.held().shape), target, weight)
