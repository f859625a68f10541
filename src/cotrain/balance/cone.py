"""Projections onto the dual cone {d : <g_k, d> >= 0 for all k}, the directions that harm no task."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from cotrain.balance.complementarity import complementary


class Projected(NamedTuple):
    """Coefficients [M, T] of the projections on the unit rows, and the largest violation of their optimality."""

    coefficients: Tensor
    violation: float


def projected(cosines: Tensor, coefficients: Tensor) -> Projected:
    """For M vectors v_m = sum_k b_mk e_k over unit rows e_k with cosines C [T, T]: their projections sum_k u_mk e_k.

    `coefficients` b is [M, T]. u = b + y with y >= 0, C u >= 0, y'C u = 0: what must be added, and no more, so that no row is
    harmed.

    >>> import torch
    >>> cosines = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> projected(cosines, torch.eye(2, dtype=torch.float64)).coefficients.tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    found = complementary(cosines, coefficients @ cosines)
    return Projected(coefficients + found.solutions, found.violation)
