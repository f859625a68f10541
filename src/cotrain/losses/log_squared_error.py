"""Squared error of logarithms, the deviance of log-normal amounts."""

from __future__ import annotations

import torch
from torch import Tensor

from cotrain.core.fields import Field, weighted
from cotrain.losses.log_link import amounts


def log_squared_error(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w (log y - log mu)^2, and sum w, for amounts y > 0, [N] or (y, base) [N, 2], at mu = base exp(output).

    Its best constant is the geometric mean, so that mu is a median where log y is spread evenly.
    """
    y, log_mu = amounts(output, target)
    y = torch.where(target.held().reshape(-1), y, y.new_ones(()))
    return weighted((log_mu - y.log()).square().reshape(target.held().shape), target, weight)
