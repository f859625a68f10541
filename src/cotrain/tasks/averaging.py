"""Members of an ensemble averaged in probability, and answered as logits again.

Shapes: M members, N rows, C classes. Averaging probabilities is what the loss of the averaged prediction is about: by Jensen's
inequality its cross-entropy is at most the mean of the members' own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def mean_logit(outputs: Tensor) -> Tensor:
    """The logit of the mean chance of yes: log sum_m sigmoid(z_m) - log sum_m sigmoid(-z_m), [M, ...] -> [...].

    Rises with the mean chance, so that rows keep their order; exact where chances are too near 0 or 1 to be told from them.

    >>> round(float(torch.sigmoid(mean_logit(torch.logit(torch.tensor([0.2, 0.6]))))), 4)
    0.4
    >>> mean_logit(torch.tensor([500.0, 500.0])).item()
    500.0
    """
    return torch.logsumexp(F.logsigmoid(outputs), 0) - torch.logsumexp(F.logsigmoid(-outputs), 0)


def mean_log_chance(outputs: Tensor) -> Tensor:
    """The log of every class's mean chance: log 1/M sum_m softmax(z_m), [M, N, C] -> [N, C].

    >>> two = torch.tensor([[[0.2, 0.8]], [[0.6, 0.4]]]).log()
    >>> [round(float(chance), 4) for chance in mean_log_chance(two).exp()[0]]
    [0.4, 0.6]
    """
    return torch.logsumexp(torch.log_softmax(outputs, -1), 0) - math.log(len(outputs))
