"""A damped Newton method for the fair bargaining conditions C u = c u^-p, u > 0 (Nash-MTL and FairGrad).

The condition says that the gradient of  f(u) = u'Cu / 2 - sum_k c_k phi(u_k)  vanishes, phi' = u^-p: strictly convex for a
positive semi-definite C, so the solution is unique where there is one. In the scaled variable du = u * x the Newton system is

    (D C D + diag(p c u^(1-p))) x = c u^(1-p) - u * (C u),     D = diag(u),

for p = 1 its matrix is at least the identity, and the decrement lambda bounds every |x_k|: the step 1 / (1 + lambda) stays
inside u > 0 and lowers f, whatever C is (self-concordance; Boyd and Vandenberghe, "Convex Optimization", 2004, section 9.6).
Longer steps are tried first and kept when they lower f.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Solved(NamedTuple):
    """An answer [T] and how far it is from its condition: max_k |u_k^p (C u)_k / c_k - 1|, the relative residual."""

    values: Tensor
    residual: float


RIDGE = 1e-10
"""Added to the diagonal of C (which is one) where no solution exists: it bounds u by 1e5, about where float64 still resolves."""


def fair_point(cosines: Tensor, power: float, level: Tensor, *, tolerance: float = 1e-9, limit: int = 100) -> Solved:
    """The u > 0 [T] with C u = c u^-p for C [T, T], c = `level` [T] > 0, p = `power` > 0.

    Stops when the relative residual is below `tolerance`, or after `limit` steps with the best u met. The residual returned is
    measured on C as given; where no solution exists it stays near 1 and u solves the condition with `RIDGE` on C's diagonal.
    """
    start = level ** (1 / (1 + power))  # the solution for orthogonal rows
    solved = _newton(cosines, power, level, start, tolerance, limit)
    if solved.residual <= 1e-6:
        return solved
    raised = cosines.clone()
    raised.diagonal().add_(RIDGE)
    ridged = _newton(raised, power, level, solved.values, tolerance, limit)
    return Solved(ridged.values, residual_of(cosines, power, level, ridged.values))


def residual_of(cosines: Tensor, power: float, level: Tensor, values: Tensor) -> float:
    """max_k |u_k^p (C u)_k / c_k - 1|."""
    return float((values**power * (cosines @ values) / level - 1).abs().max())


def _newton(cosines: Tensor, power: float, level: Tensor, start: Tensor, tolerance: float, limit: int) -> Solved:
    values = start
    product = cosines @ values
    best = Solved(values, float("inf"))
    for _ in range(limit):
        demand = level * values ** (1 - power)
        slope = values * product - demand
        residual = float((slope / demand).abs().max())
        if residual < best.residual:
            best = Solved(values, residual)
        if residual <= tolerance or float((values / start).max()) > 1e7:  # beyond that the residual is rounding noise
            break
        matrix = values * cosines * values.unsqueeze(-1)
        matrix.diagonal().add_(power * demand)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if int(failed) != 0:
            break
        step = torch.cholesky_solve(-slope.unsqueeze(-1), factor).squeeze(-1)
        decrement = float((-(slope * step).sum()).clamp_min(0.0).sqrt())
        length = 1.0 if decrement < 0.25 else _length(cosines, values, product, step, demand, power)
        values = values * (1 + length * step)
        product = cosines @ values
    return best


def _length(cosines: Tensor, values: Tensor, product: Tensor, step: Tensor, demand: Tensor, power: float) -> float:
    """The t > 0 that minimises f(u (1 + t x)) along the step x, to a tenth, by Newton's method kept in a bracket."""
    move = values * step
    linear, square = float(move @ product), float(move @ (cosines @ move))
    lowest = float(step.min())
    low, high = 0.0, (-0.999 / lowest if lowest < 0 else float("inf"))
    t = min(1.0, 0.9 * high)
    for _ in range(30):
        grown = 1 + t * step
        pull = demand * step * grown**-power
        slope = linear + t * square - float(pull.sum())
        if slope > 0:
            high = t
        else:
            low = t
        bend = square + power * float((pull * step / grown).sum())
        if abs(slope) <= 0.1 * bend * t:
            break
        ahead = t - slope / bend if bend > 0 else float("inf")
        if not low < ahead < high or ahead > 10 * t:
            ahead = 10 * t if high == float("inf") else 0.5 * (low + high)
        t = ahead
    return t
