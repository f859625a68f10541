"""Adding finished gradients to `.grad` as a backward pass would.

The gradients leave through one node of autograd, so that tensor hooks, post-accumulate hooks and hooks on `AccumulateGrad`
fire exactly once, in their usual order, and gradients are moved into `.grad`, not copied, where it is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge


class _Deposit(torch.autograd.Function):
    """A constant of all parameters whose "gradients" are those handed in."""

    @staticmethod
    def forward(ctx: Any, gradients: list[Tensor], *parameters: Tensor) -> Tensor:
        """Zero; the gradients wait."""
        ctx.gradients = gradients
        return torch.zeros((), device=parameters[0].device)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        """Hand the gradients over; nothing else holds them."""
        gradients = tuple(ctx.gradients)
        ctx.gradients.clear()
        return (None, *gradients)


def deposit(
    parameters: Sequence[Tensor],
    gradients: list[Tensor],
    edges: Sequence[GradientEdge] = (),
    arrivals: Sequence[Tensor] = (),
    penalty: Tensor | None = None,
) -> None:
    """Add `gradients` to the `.grad` of `parameters`, send `arrivals` backward from `edges` and the penalty's gradient from
    the penalty, all in one backward pass.

    `gradients` is emptied: what nobody else holds is moved into `.grad`.
    """
    roots: list[Any] = list(edges)
    sent: list[Tensor | None] = list(arrivals)
    if parameters:
        with torch.enable_grad():
            node = _Deposit.apply(gradients, *parameters)  # type: ignore[no-untyped-call]
        roots.append(node)
        sent.append(torch.ones_like(node))
    if penalty is not None and penalty.requires_grad:
        roots.append(penalty)
        sent.append(torch.ones_like(penalty))
    if roots:
        torch.autograd.backward(roots, sent)
