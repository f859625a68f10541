"""Cumulative logistic link: minus the log-likelihood of ordered classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import DataError
from cotrain.core.fields import Field, weighted
from cotrain.losses.ordered import rising, unbased, unrisen, with_base


def cumulative_logits(output: Tensor, base: tuple[float, ...] = ()) -> Tensor:
    """[N, C - 1] logits l_1 >= ... >= l_(C-1) of P(class >= c) = sigmoid(l_c), from any output [N, C - 1].

    l_1 = o_1 and l_c = l_(c-1) - softplus(o_c) with o = output + base: where o_2, o_3 ... are the same for every row, this is the
    proportional-odds model l_c = score - theta_c, with thresholds theta that rise by construction.

    >>> [round(one, 4) for one in cumulative_logits(torch.tensor([[1.0, 0.0]]))[0].tolist()]
    [1.0, 0.3069]
    """
    raw = with_base(output, base)
    return -rising(torch.cat([-raw[:, :1], raw[:, 1:]], 1))


def outputs_of(logits: Tensor, base: tuple[float, ...] = (), least: float = 1e-6) -> Tensor:
    """The outputs [..., C - 1] whose cumulative logits are these, falling ones; steps smaller than `least` widened to it.

    >>> outputs_of(cumulative_logits(torch.tensor([[1.0, -2.0]])))
    tensor([[ 1.0000, -2.0000]])
    """
    raw = unrisen(-logits, least=least)
    return unbased(torch.cat([-raw[..., :1], raw[..., 1:]], -1), base)


@dataclass(frozen=True)
class CumulativeLink:
    """sum w (-log P(class = k)), and sum w, for outputs [N, C - 1] and class numbers k from 0 to C - 1, [N].

    P(class = k) = sigmoid(l_k) - sigmoid(l_(k+1)) with l of `cumulative_logits`, l_0 = inf, l_C = -inf. Since
    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b-a)), and 1 - e^-softplus(o) = sigmoid(o), the element is
    softplus(-l_k) + softplus(l_(k+1)) + softplus(-o_(k+1)): exact for outputs of any size, and never below 0.

    base: added to the outputs, [C - 1]; so that outputs of 0 give the classes' shares in the training rows. None: zeros.
    Raises DataError for outputs that are not [N, C - 1], and (on the CPU) for a class number that no output stands for.

    Source: P. McCullagh, Regression Models for Ordinal Data, Journal of the Royal Statistical Society B 42, 1980.

    >>> total, _ = CumulativeLink()(torch.tensor([[0.0]]), Field.dense(torch.tensor([1])), None)
    >>> round(float(total), 4)  # two classes: log 2
    0.6931
    """

    base: tuple[float, ...] = ()

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        labels = target.filled().reshape(len(target.values), -1)
        if output.dim() != 2 or labels.shape != (len(output), 1):
            raise DataError(
                f"expected outputs [N, classes - 1] and one class number for each of the N values, got outputs of shape "
                f"{tuple(output.shape)} and targets of shape {tuple(target.values.shape)}"
            )
        last, rank = output.shape[1], labels.long()
        raw = with_base(output, self.base)
        logits = -rising(torch.cat([-raw[:, :1], raw[:, 1:]], 1))
        zero = logits.new_zeros(len(logits), 1)
        reached = torch.cat([zero, F.softplus(-logits)], 1)  # -log P(class >= k), 0 for k = 0
        passed = torch.cat([F.softplus(logits), zero], 1)  # -log P(class <= k), 0 for the last
        gap = torch.cat([zero, F.softplus(-raw[:, 1:]), zero], 1)[:, : last + 1]
        try:
            element = (reached + passed + gap).gather(1, rank).squeeze(1)
        except RuntimeError:
            raise DataError(
                f"expected class numbers from 0 to {last}, got {int(rank.min())} to {int(rank.max())}; "
                "set classes= of the task, or number the labels from 0"
            ) from None
        return weighted(element.reshape(target.held().shape), target, weight)
