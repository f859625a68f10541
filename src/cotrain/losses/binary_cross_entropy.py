"""Binary cross-entropy on logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from cotrain.core.fields import Field, weighted
from cotrain.losses.aligned import aligned


def binary_cross_entropy(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w (log(1 + e^z) - t z) over cells, and sum w: minus the log-likelihood of label t at logit z.

    output z: [N, 1] or [N, C] logits; target.values t: [N] or [N, C], 0 or 1 (whole numbers and truth values will do).
    """
    logits, labels = aligned(output, target)
    return weighted(F.binary_cross_entropy_with_logits(logits, labels, reduction="none"), target, weight)
