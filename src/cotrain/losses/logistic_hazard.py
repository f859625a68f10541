"""Logistic hazards: minus the log-likelihood of survival times in intervals, with right censoring."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import DataError
from cotrain.core.fields import Field, weighted
from cotrain.losses.ordered import with_base


@dataclass(frozen=True)
class LogisticHazard:
    """sum w [-sum_(i < s) log(1 - h_i) - d log h_s], and sum w, for outputs [N, K]; h = sigmoid(output + base).

    h_i is the chance that the event comes in interval i, given that it had not come before. Targets [N, 2] or wider: column 0 is s, how many
    whole intervals were survived (0 to K), column 1 is d, 1 where the event came in interval s and 0 where the row was lost from sight
    (censored); further columns are not read. The loss is 0 where every hazard is what happened.

    base: added to the outputs, [K], so that outputs of 0 give the hazards of the training rows.
    Raises DataError for outputs that are not [N, K].

    Source: M. F. Gensheimer, B. Narasimhan, A scalable discrete-time survival model for neural networks, PeerJ 7:e6257, 2019, equation 3.

    >>> lived = Field.dense(torch.tensor([[1.0, 1.0]]))  # survived one interval, event in the second
    >>> round(float(LogisticHazard()(torch.zeros(1, 3), lived, None)[0]), 4)  # 2 log 2
    1.3863
    """

    base: tuple[float, ...] = ()

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        values = target.filled()
        if output.dim() != 2 or values.dim() != 2 or values.shape[1] < 2 or len(values) != len(output):
            raise DataError(
                f"expected outputs [N, intervals] and targets [N, 2] of (intervals survived, event), got outputs of shape "
                f"{tuple(output.shape)} and targets of shape {tuple(target.values.shape)}"
            )
        survived, event = values[:, 0].long(), values[:, 1] > 0.5
        logits = with_base(output, self.base)
        place = torch.arange(output.shape[1], device=logits.device)
        before = place < survived.unsqueeze(1)
        there = (place == survived.unsqueeze(1)) & event.unsqueeze(1)
        zero = logits.new_zeros(())
        element = torch.where(before, F.softplus(logits), zero) + torch.where(there, F.softplus(-logits), zero)
        return weighted(element.sum(1), target, weight)
