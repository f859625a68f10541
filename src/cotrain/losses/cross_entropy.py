"""Cross-entropy over classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.fields import Field, weighted


def cross_entropy(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w (-log softmax(z)[t]), and sum w. output: [N, C] logits; target.values: [N] int64 class numbers."""
    if output.dtype in (torch.float16, torch.bfloat16):
        output = output.float()
    return weighted(F.cross_entropy(output, target.values, reduction="none"), target, weight)
