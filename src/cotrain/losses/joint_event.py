"""Cross-entropy of a joint event: a task and everything it is given, over the entire space of rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import DataError
from cotrain.core.fields import Field, weighted


def log_chances(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(log p, log(1 - p)) with p = prod_j sigmoid(z_j), for logits z [N, k]: both [N], without cancellation.

    log p = sum_j log sigmoid(z_j); 1 - p = sum_j (1 - sigmoid(z_j)) prod_{i < j} sigmoid(z_i), a sum of positive terms.

    >>> yes, no = log_chances(torch.tensor([[0.0, 0.0]]))
    >>> round(float(yes.exp()), 4), round(float(no.exp()), 4)
    (0.25, 0.75)
    """
    each = F.logsigmoid(logits)
    before = F.pad(each.cumsum(1)[:, :-1], (1, 0))
    return each.sum(1), torch.logsumexp(F.logsigmoid(-logits) + before, 1)


@dataclass(frozen=True)
class JointCrossEntropy:
    """sum w (-t log p - (1 - t) log(1 - p)), and sum w, with p = prod_j sigmoid(z_j): the joint event, over all rows.

    output z: [N, k] logits, the task's own P(task | parents) first, then its parents'. target.values: [N, 2], whether the joint event
    happened (t), and whether all parents hold (c). The gradient goes into every factor, so that rows without a click teach both.
    With one column only (k = 1, the task without its parents) the element loss is c (log(1 + e^z) - t z): rows where the parents do not
    hold say nothing, and count.

    Source: X. Ma et al., Entire Space Multi-Task Model, SIGIR 2018, equation 3, its second sum; the first one is the parent's own loss.

    >>> target = Field.dense(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    >>> total, count = JointCrossEntropy()(torch.zeros(2, 2), target, None)
    >>> round(float(total), 4), float(count)  # -log 0.25 - log 0.75
    (1.674, 2.0)
    """

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        values = target.filled()
        if output.dim() != 2 or values.shape != (len(output), 2):
            raise DataError(
                f"expected logits [N, 1 + parents] and targets [N, 2] (joint event, condition), got {tuple(output.shape)} and "
                f"{tuple(values.shape)}; make the target with cotrain.tasks.conditional_codec.joint_target"
            )
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        event, condition = values.to(output.dtype).unbind(1)
        if output.shape[1] == 1:
            element = condition * F.binary_cross_entropy_with_logits(output.squeeze(1), event, reduction="none")
        else:
            yes, no = log_chances(output)
            element = -event * yes - (1 - event) * no
        return weighted(element, target, weight)


joint_cross_entropy = JointCrossEntropy()
"""The cross-entropy of the joint event."""
