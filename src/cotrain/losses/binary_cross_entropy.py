"""Binary cross-entropy on logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.fields import Field, cell_weight, weighted
from cotrain.losses.aligned import aligned
from cotrain.losses.class_weights import check_class_weights, check_smoothing, weight_of_yes

LEAST_SHARE = 1e-6
"""The best constant keeps every class's share this far away from 0, where no finite logit is best."""


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """sum w c(t) (log(1 + e^z) - t' z - H(t')) over cells, and sum w: a Kullback-Leibler divergence, 0 where the chance is t'.

    t' = (1 - s) t + s / 2 with s = `smoothing` in [0, 1), and H(t') = -t' log t' - (1 - t') log(1 - t'). Without smoothing nothing is
    subtracted, and the loss is minus the log-likelihood of label t at logit z.
    output z: [N, 1] or [N, C] logits; target.values t: [N] or [N, C], 0 or 1 (whole numbers and truth values will do).
    class_weights: (of no, of yes), both > 0, or one such pair a column as ((C of no), (C of yes)); c(t) lies between them. They do
    not enter the count.

    Source: smoothing as C. Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, section 7, less the entropy of its target.

    >>> even, yes = torch.zeros(1, 1), Field.dense(torch.ones(1))
    >>> total, count = BinaryCrossEntropy(class_weights=(1.0, 3.0))(even, yes, None)
    >>> round(float(total), 4), float(count)
    (2.0794, 1.0)
    >>> abs(round(float(BinaryCrossEntropy(smoothing=0.2)(torch.tensor([[2.1972246]]), yes, None)[0]), 6))
    0.0
    """

    smoothing: float = 0.0
    class_weights: tuple[float, float] | tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __post_init__(self) -> None:
        check_smoothing(self.smoothing)
        if self.class_weights is not None:
            check_class_weights(self.class_weights, 2)

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        logits, labels = aligned(output, target)
        smooth = self._smooth(labels)
        element = F.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
        if self.smoothing:
            element = (element - torch.special.entr(smooth) - torch.special.entr(1 - smooth)).clamp_min(0)
        if self.class_weights is not None:
            element = element * weight_of_yes(labels, self.class_weights)
        return weighted(element, target, weight)

    def constant(self, target: Field, weight: Tensor | None, outputs: int = 1) -> Tensor:
        """[1] the logit of p = sum w c(t) t' / sum w c(t), for targets of one column; 0 where there is no label."""
        cells = cell_weight(target, weight).double()
        labels = target.filled().double().reshape(cells.shape)
        if self.class_weights is not None:
            cells = cells * weight_of_yes(labels, self.class_weights)
        if not bool(cells.sum() > 0):
            return cells.new_zeros(outputs)
        share = (cells * self._smooth(labels)).sum() / cells.sum()
        return torch.logit(share.clamp(LEAST_SHARE, 1 - LEAST_SHARE)).reshape(1)

    def _smooth(self, labels: Tensor) -> Tensor:
        return labels * (1 - self.smoothing) + self.smoothing / 2 if self.smoothing else labels


binary_cross_entropy = BinaryCrossEntropy()
"""Plain binary cross-entropy: sum w (log(1 + e^z) - t z), and sum w."""
