"""Cross-entropy over classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import DataError
from cotrain.core.fields import Field, cell_weight, weighted
from cotrain.losses.class_weights import check_class_weights, check_smoothing


def logits_and_labels(output: Tensor, target: Field) -> tuple[Tensor, Tensor]:
    """(logits [N, C] in float32 or wider, class numbers [N] int64). Raises DataError for outputs that are not [N, C]."""
    labels = target.filled().reshape(len(target.values), -1)
    if output.dim() != 2 or labels.shape != (len(output), 1):
        raise DataError(
            f"expected outputs [N, classes] and one class number for each of the N values, got outputs of shape {tuple(output.shape)} "
            f"and targets of shape {tuple(target.values.shape)}"
        )
    return output.to(torch.promote_types(output.dtype, torch.float32)), labels.squeeze(1).long()


def class_totals(target: Field, weight: Tensor | None, outputs: int, class_weights: tuple[float, ...] | None) -> Tensor:
    """[C] float64, the sum of weight x valid x class weight over the values of each class."""
    cells = cell_weight(target, weight).double().reshape(-1)
    labels = target.filled().reshape(-1).long()
    total = torch.zeros(outputs, dtype=torch.float64, device=cells.device).index_add_(0, labels, cells)
    return total if class_weights is None else total * total.new_tensor(class_weights)


@dataclass(frozen=True)
class CrossEntropy:
    """sum w c_t (-sum_k t'_k log softmax(z)_k - H(t')), and sum w: a Kullback-Leibler divergence, 0 where softmax(z) is t'.

    output z: [N, C] logits; target.values t: [N] class numbers from 0 to C - 1. t' is 1 - s + s / C at class t and s / C elsewhere, with
    s = `smoothing` in [0, 1), and H its entropy; without smoothing this is -log softmax(z)_t. class_weights: c, one a class, all > 0; they
    do not enter the count.
    Raises DataError for outputs that are not [N, C], and (on the CPU) for a class number that no output stands for.

    Source: smoothing as C. Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, section 7, less the entropy of its target.

    >>> total, count = CrossEntropy(class_weights=(1.0, 2.0, 1.0))(torch.zeros(2, 3), Field.dense(torch.tensor([0, 1])), None)
    >>> round(float(total), 4), float(count)
    (3.2958, 2.0)
    """

    smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_smoothing(self.smoothing)
        if self.class_weights is not None:
            check_class_weights(self.class_weights)

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        output, labels = logits_and_labels(output, target)
        element = per_class(output, labels, self.smoothing)
        if self.class_weights is not None:
            element = element * element.new_tensor(self.class_weights)[labels]
        return weighted(element.reshape(target.held().shape), target, weight)

    def constant(self, target: Field, weight: Tensor | None, outputs: int) -> Tensor:
        """[C] the logs of p_k = sum w c_t t'_k / sum w c_t; zeros where there is no label. No class gets less than 1e-6 / C."""
        total = class_totals(target, weight, outputs, self.class_weights)
        if not bool(total.sum() > 0):
            return total
        share = (total / total.sum()) * (1 - self.smoothing) + self.smoothing / outputs
        return (share + 1e-6 / outputs).log()


def per_class(output: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """[N] cross-entropy of class numbers at logits [N, C], less the entropy of the smoothed labels."""
    classes = output.shape[1]
    try:
        element = F.cross_entropy(output, labels, reduction="none", label_smoothing=smoothing)
    except IndexError:
        low, high = int(labels.min()), int(labels.max())
        raise DataError(
            f"expected class numbers from 0 to {classes - 1}, got {low if low < 0 else high}; "
            "set classes= of the task, or number the labels from 0"
        ) from None
    if not smoothing:
        return element
    rest = smoothing / classes
    entropy = -(1 - smoothing + rest) * math.log(1 - smoothing + rest) - (classes - 1) * rest * math.log(rest)
    return (element - entropy).clamp_min(0)


cross_entropy = CrossEntropy()
"""Plain cross-entropy: sum w (-log softmax(z)_t), and sum w."""
