"""Output and target brought into one shape and one floating dtype, before an element loss is taken."""

from __future__ import annotations

import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field


def aligned(output: Tensor, target: Field) -> tuple[Tensor, Tensor]:
    """(output, values) shaped like the target's values, in the wider floating dtype of the two, float32 at least.

    Values that are not held are 0, so that nothing that stands there reaches the loss or its gradient.
    Raises DataError if the output has not one number for each of the target's.

    >>> aligned(torch.tensor([[0.5], [2.0]]), Field.dense(torch.tensor([1, 0])))
    (tensor([0.5000, 2.0000]), tensor([1., 0.]))
    """
    if output.numel() != target.values.numel() or len(output) != len(target.values):
        raise DataError(
            f"expected one output for each of the target's values {tuple(target.values.shape)}, "
            f"got outputs of shape {tuple(output.shape)}; does the task's number of columns match its targets?"
        )
    values = target.filled()
    dtype = torch.promote_types(output.dtype, torch.float32)
    if values.is_floating_point():
        dtype = torch.promote_types(dtype, values.dtype)
    return output.reshape(values.shape).to(dtype), values.to(dtype)
