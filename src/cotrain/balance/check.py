"""The engine's check of itself: one step held against a plain loop of one backward pass a task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cotrain.balance.disjoint import Disjoint
from cotrain.balance.exact import Exact
from cotrain.core.errors import TrainingError

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Largest relative difference by dtype; half precision, whose own rounding is larger, has 0.1."""


def check_against_loop(gathered: Exact | Disjoint, losses: Sequence[Tensor], gramian: Tensor) -> None:
    """Raise TrainingError if Gramian or summed gradients differ from the loop's; the graph must have been kept."""
    unit = torch.ones(len(losses), dtype=torch.float64, device=gramian.device)
    parameters, gradients = gathered.gradients(unit, unit)
    if not parameters:
        return  # no two losses meet in a parameter
    shared = [tensor for tensor, balanced in zip(parameters, gathered.balanced(parameters), strict=True) if balanced]
    rows = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in losses]
    with torch.no_grad():
        flat = torch.stack(
            [
                torch.cat(
                    [
                        (torch.zeros_like(tensor) if gradient is None else gradient).reshape(-1).double()
                        for tensor, gradient in zip(parameters, row, strict=True)
                        if any(tensor is one for one in shared)
                    ]
                )
                for row in rows
            ]
        )
        truth = flat @ flat.t()
        wrong = float((gramian - truth).abs().max() / truth.abs().max().clamp_min(1e-300))
        tolerance = max(TOLERANCE.get(tensor.dtype, 0.1) for tensor in parameters)
        for place, gradient in enumerate(gradients):
            summed = sum(row[place].double() for row in rows if row[place] is not None)
            scale = sum(float(row[place].double().norm()) for row in rows if row[place] is not None)
            wrong = max(wrong, float((gradient.double() - summed).norm()) / max(scale, 1e-300))
    if not wrong <= tolerance:
        raise TrainingError(
            f"expected the engine's gradients to equal a plain loop's to {tolerance:g}; they differ by {wrong:.1e}; is there a hook "
            "that changes gradients, or a saved tensor that changed? use mode='features' and report the network"
        )
