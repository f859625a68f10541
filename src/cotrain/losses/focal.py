"""Focal loss: cross-entropy in which answers that are already right count little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field, cell_weight, weighted
from cotrain.losses.aligned import aligned
from cotrain.losses.class_weights import check_class_weights, weight_of_yes
from cotrain.losses.cross_entropy import class_totals, logits_and_labels, per_class

HALVINGS, ROUNDS, PRICES = 60, 9, 64


@dataclass(frozen=True)
class BinaryFocal:
    """sum w c(t) (t (1 - p)^gamma (-log p) + (1 - t) p^gamma (-log(1 - p))) over cells, and sum w, with p = 1 / (1 + e^-z).

    output z: [N, 1] or [N, C] logits; target.values t: [N] or [N, C], 0 or 1. gamma >= 0; 0 is cross-entropy, 2 the paper's choice.
    class_weights: (of no, of yes) as in `BinaryCrossEntropy` (the paper's 1 - alpha and alpha, up to a factor).

    Source: T.-Y. Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equations 4 and 5.

    >>> total, count = BinaryFocal(gamma=2.0)(torch.zeros(1, 1), Field.dense(torch.ones(1)), None)
    >>> round(float(total), 4)
    0.1733
    """

    gamma: float = 2.0
    class_weights: tuple[float, float] | tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __post_init__(self) -> None:
        _check_gamma(self.gamma)
        if self.class_weights is not None:
            check_class_weights(self.class_weights, 2)

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        logits, labels = aligned(output, target)
        yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
        element = -labels * (self.gamma * no).exp() * yes - (1 - labels) * (self.gamma * yes).exp() * no
        if self.class_weights is not None:
            element = element * weight_of_yes(labels, self.class_weights)
        return weighted(element, target, weight)

    def constant(self, target: Field, weight: Tensor | None, outputs: int = 1) -> Tensor:
        """[1] the logit at which a target of one column has the least loss, by bisection; 0 where there is no label."""
        cells = cell_weight(target, weight).double()
        labels = target.filled().double().reshape(cells.shape)
        if self.class_weights is not None:
            cells = cells * weight_of_yes(labels, self.class_weights)
        if not bool(cells.sum() > 0):
            return cells.new_zeros(outputs)
        shares = focal_shares(torch.stack([(cells * (1 - labels)).sum(), (cells * labels).sum()]), self.gamma)
        return (shares[1].log() - shares[0].log()).reshape(1)


@dataclass(frozen=True)
class Focal:
    """sum w c_t (1 - p_t)^gamma (-log p_t), and sum w, with p = softmax(z): the same over several classes.

    output z: [N, C] logits; target.values t: [N] class numbers from 0 to C - 1. gamma >= 0; 0 is cross-entropy. class_weights: c, one a class.

    Source: T.-Y. Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4, with softmax in place of the logistic function.

    >>> total, count = Focal(gamma=1.0)(torch.zeros(1, 4), Field.dense(torch.tensor([3])), None)
    >>> round(float(total), 4)
    1.0397
    """

    gamma: float = 2.0
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check_gamma(self.gamma)
        if self.class_weights is not None:
            check_class_weights(self.class_weights)

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        output, labels = logits_and_labels(output, target)
        entropy = per_class(output, labels, 0.0)
        others = output.scatter(1, labels.unsqueeze(1), -torch.inf).logsumexp(1)
        missed = others - output.logsumexp(1)  # log(1 - p_t), without the cancellation
        element = (self.gamma * missed).exp() * entropy if self.gamma else entropy
        if self.class_weights is not None:
            element = element * element.new_tensor(self.class_weights)[labels]
        return weighted(element.reshape(target.held().shape), target, weight)

    def constant(self, target: Field, weight: Tensor | None, outputs: int) -> Tensor:
        """[C] the logs of the shares that have the least loss, by bisection; zeros where there is no label."""
        total = class_totals(target, weight, outputs, self.class_weights)
        return focal_shares(total, self.gamma).log() if bool(total.sum() > 0) else total


def focal_shares(totals: Tensor, gamma: float) -> Tensor:
    """[C] the p on the simplex that minimises sum_k a_k (1 - p_k)^gamma (-log p_k), for totals a >= 0 with a positive sum, float64.

    The sum is convex in p, and at its least all a_k f'(p_k) are equal: p is found by bisection inside a bisection. Each a_k counts for at
    least 1e-6 / C of their sum.

    >>> [round(one, 4) for one in focal_shares(torch.tensor([3.0, 1.0], dtype=torch.float64), 0.0).tolist()]
    [0.75, 0.25]
    """
    wanted = totals.double().cpu().numpy()
    wanted = wanted / wanted.sum() + 1e-6 / len(wanted)

    def shares(prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """[P, C] the p_k with a_k f'(p_k) = -price: the slope rises from -inf to 0."""
        low, high = np.full((len(prices), len(wanted)), 1e-15), np.full((len(prices), len(wanted)), 1 - 1e-15)
        for _ in range(HALVINGS):
            p = (low + high) / 2
            slope = -((1 - p) ** gamma) / p + gamma * (1 - p) ** (gamma - 1) * np.log(p)
            below = wanted * slope < -prices[:, None]
            low, high = np.where(below, p, low), np.where(below, high, p)
        return np.asarray((low + high) / 2)

    first, last = -60.0, 60.0  # of the logarithm of the price
    for _ in range(ROUNDS):
        line = np.linspace(first, last, PRICES)
        beyond = int((shares(2.0**line).sum(1) > 1).sum())  # the sum falls as the price rises
        first, last = line[max(beyond - 1, 0)], line[min(beyond, PRICES - 1)]
    found = shares(np.array([2.0 ** ((first + last) / 2)]))[0]
    return torch.from_numpy(found / found.sum()).to(totals.device)


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma <= 10:
        raise ConfigError(f"gamma must lie between 0 and 10, got {gamma}; the paper's choice is 2")
