"""Numbers in order by construction: one free number, and gaps that cannot fall below zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_GAP = 0.05
"""Training rows may put two levels at one place; a gap begins no smaller than this, or its gradient would vanish."""


def rising(output: Tensor, anchor: int = 0) -> Tensor:
    """[N, L] numbers that rise along the row, whatever the output [N, L] is.

    v_a = o_a                                        a = anchor, the one free number
    v_i = v_(i-1) + softplus(o_i)    for i > a       softplus(o) = log(1 + e^o) > 0
    v_i = v_(i+1) - softplus(o_i)    for i < a

    >>> [round(one, 4) for one in rising(torch.tensor([[0.0, 5.0, 0.0]]), anchor=1)[0].tolist()]
    [4.3069, 5.0, 5.6931]
    """
    value, gaps = output[:, anchor : anchor + 1], F.softplus(output)
    above = value + gaps[:, anchor + 1 :].cumsum(1)
    below = value - gaps[:, :anchor].flip(1).cumsum(1).flip(1)
    return torch.cat([below, value, above], 1)


def unrisen(values: Tensor, anchor: int = 0, least: float = 1e-6) -> Tensor:
    """The output [..., L] that `rising` makes into these rising values, gaps smaller than `least` widened to it.

    >>> unrisen(torch.tensor([[4.0, 5.0, 5.5]]), anchor=1).shape
    torch.Size([1, 3])
    >>> rising(unrisen(torch.tensor([[4.0, 5.0, 5.5]]), anchor=1), anchor=1)
    tensor([[4.0000, 5.0000, 5.5000]])
    """
    gaps = values.diff(dim=-1).clamp_min(least)
    raw = gaps + torch.log(-torch.expm1(-gaps))  # log(e^gap - 1), also where e^gap is beyond all numbers
    return torch.cat([raw[..., :anchor], values[..., anchor : anchor + 1], raw[..., anchor:]], -1)


def with_base(output: Tensor, base: Sequence[float]) -> Tensor:
    """output + base, in float32 or wider: outputs of 0 then give what `base` stands for. No base is one of zeros."""
    wide = output.to(torch.promote_types(output.dtype, torch.float32))
    return wide + torch.tensor(base, dtype=wide.dtype, device=wide.device) if base else wide


def unbased(output: Tensor, base: Sequence[float]) -> Tensor:
    """output - base: the inverse of `with_base`."""
    return output - torch.tensor(base, dtype=output.dtype, device=output.device) if base else output
