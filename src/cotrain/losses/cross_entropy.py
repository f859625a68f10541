"""Cross-entropy over classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import DataError
from cotrain.core.fields import Field, weighted


def cross_entropy(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w (-log softmax(z)[t]), and sum w. output z: [N, C] logits; target.values t: [N] class numbers from 0 to C - 1.

    Raises DataError for outputs that are not [N, C], and (on the CPU) for a class number that no output stands for.
    """
    labels = target.filled().reshape(len(target.values), -1)
    if output.dim() != 2 or labels.shape != (len(output), 1):
        raise DataError(
            f"expected outputs [N, classes] and one class number for each of the N values, got outputs of shape {tuple(output.shape)} "
            f"and targets of shape {tuple(target.values.shape)}"
        )
    output = output.to(torch.promote_types(output.dtype, torch.float32))
    try:
        element = F.cross_entropy(output, labels.squeeze(1).long(), reduction="none")
    except IndexError:
        low, high = int(labels.min()), int(labels.max())
        raise DataError(
            f"expected class numbers from 0 to {output.shape[1] - 1}, got {low if low < 0 else high}; "
            "set classes= of the task, or number the labels from 0"
        ) from None
    return weighted(element.reshape(target.held().shape), target, weight)
