"""Binary cross-entropy on logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from cotrain.core.fields import Field, weighted


def binary_cross_entropy(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w (log(1 + e^z) - t z) over cells, and sum w: minus the log-likelihood of label t in {0, 1} at logit z.

    output: [N, 1] or [N, C] logits; target.values: [N] or [N, C] in {0, 1}.
    """
    logits = output.reshape(target.values.shape).to(target.values.dtype)
    element = F.binary_cross_entropy_with_logits(logits, target.values, reduction="none")
    return weighted(element, target, weight)
