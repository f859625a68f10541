"""Amounts behind a logarithm: expected amount = base x exp(output), so that an output of 0 is the mean of the training rows."""

from __future__ import annotations

import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field

MOST = 30.0
"""Beyond e^30 of the mean, and below e^-30, the logarithm grows slowly: no output overflows, and none is stuck."""


def log_ratio(output: Tensor) -> Tensor:
    """log(expected / base) of an output: itself within [-30, 30], beyond it +-(30 + log(1 + |o| - 30)).

    >>> log_ratio(torch.tensor([1.5, -31.0])).tolist()
    [1.5, -30.693147659301758]
    """
    beyond = (output.abs() - MOST).clamp_min(0)
    return torch.where(beyond > 0, output.sign() * (MOST + torch.log1p(beyond)), output)


def amounts(output: Tensor, target: Field) -> tuple[Tensor, Tensor]:
    """(y, log mu), both [N], float32 or wider, from outputs [N, 1] or [N] and targets [N, 2] of (y, base), or [N] or [N, 1] of y and base 1.

    mu = base x exp(output). Where nothing is held y = 0 and base = 1. Raises DataError for other shapes.
    """
    values = target.filled().reshape(len(target.values), -1)
    if output.numel() != len(values) or values.shape[1] not in (1, 2):
        raise DataError(
            f"expected one output for each value and targets of (amount) or (amount, base), got outputs of shape {tuple(output.shape)} "
            f"and targets of shape {tuple(target.values.shape)}"
        )
    dtype = torch.promote_types(output.dtype, torch.float32)
    values = values.to(torch.promote_types(dtype, values.dtype) if values.is_floating_point() else dtype)
    log_mu = log_ratio(output.reshape(-1).to(values.dtype))
    if values.shape[1] == 2:
        base = torch.where(target.held(), values[:, 1], values.new_ones(()))
        log_mu = log_mu + base.log()
    return values[:, 0], log_mu
