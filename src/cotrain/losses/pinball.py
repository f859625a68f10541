"""Pinball loss: quantiles at several levels that never cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field, weighted
from cotrain.losses.ordered import rising, with_base


def anchor_of(levels: Sequence[float]) -> int:
    """Which level is predicted directly, the others as gaps from it: the one nearest the median.

    >>> anchor_of([0.1, 0.5, 0.9]), anchor_of([0.9, 0.99])
    (1, 0)
    """
    return min(range(len(levels)), key=lambda index: abs(levels[index] - 0.5))


def quantiles(output: Tensor, levels: Sequence[float], base: Sequence[float] = ()) -> Tensor:
    """[N, L] quantiles that rise with their levels, from any output [N, L] (+ base), standardised as the target is."""
    return rising(with_base(output, base), anchor_of(levels))


@dataclass(frozen=True)
class Pinball:
    """sum w mean_l [max(l (t - q_l), (l - 1) (t - q_l))], and sum w, for outputs [N, L] and targets t [N] or [N, 1].

    q_l is the quantile of level l, from `rising`: q at the level nearest the median is the output itself, the others lie softplus
    of their outputs above or below it, so that no two cross. The loss is 0 where all quantiles are the target.

    levels: rising numbers between 0 and 1. base: added to the outputs, [L], so that outputs of 0 give the quantiles of the training rows.
    Raises ConfigError for other levels, DataError for outputs that are not [N, L].

    Source: R. Koenker, G. Bassett, Regression Quantiles, Econometrica 46, 1978.

    >>> total, _ = Pinball(levels=(0.9,))(torch.tensor([[1.0]]), Field.dense(torch.tensor([3.0])), None)
    >>> round(float(total), 4)  # .9 (3 - 1)
    1.8
    """

    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    base: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        levels = list(self.levels)
        if not levels or not all(0 < one < 1 for one in levels) or sorted(set(levels)) != levels:
            raise ConfigError(
                f"levels of quantiles must rise and lie between 0 and 1, got {levels}; write for example [0.1, 0.5, 0.9]"
            )

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        truth = target.filled().reshape(len(target.values), -1)
        if output.dim() != 2 or output.shape[1] != len(self.levels) or truth.shape != (len(output), 1):
            raise DataError(
                f"expected outputs [N, {len(self.levels)}] and one number for each of the N values, got outputs of shape "
                f"{tuple(output.shape)} and targets of shape {tuple(target.values.shape)}"
            )
        guess = quantiles(output, self.levels, self.base)
        guess = guess.to(torch.promote_types(guess.dtype, truth.dtype) if truth.is_floating_point() else guess.dtype)
        apart = truth - guess
        level = torch.tensor(self.levels, dtype=guess.dtype, device=guess.device)
        element = torch.maximum(level * apart, (level - 1) * apart).mean(1)
        return weighted(element.reshape(-1, *([1] * (target.held().dim() - 1))), target, weight)
