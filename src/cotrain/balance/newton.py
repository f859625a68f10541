"""A damped Newton method for the fair bargaining conditions C u = c u^-p, u > 0 (Nash-MTL and FairGrad).

The condition says that the gradient of  f(u) = u'Cu / 2 - sum_k c_k phi(u_k)  vanishes, phi' = u^-p: strictly convex for a
positive semi-definite C, so the solution is unique where there is one. In the scaled variable du = u * x the Newton system is

    (D C D + diag(p c u^(1-p))) x = c u^(1-p) - u * (C u),     D = diag(u),

whose matrix is well conditioned wherever u is (for p = 1 it is at least the identity). A step is taken in full where every |x_k|
< 1/4, else the minimum of f along it is looked for, inside u > 0 (Boyd and Vandenberghe, "Convex Optimization", 2004, section
9.5 and 9.6: f is self-concordant for p = 1).
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
    measured on C as given. Where no solution exists it stays near 1, and u solves the condition with `RIDGE` on C's diagonal.
    For p > 1 the condition is also solved from its other side, y = C u: C^-1 y = c^(1/p) y^(-1/p), which is of the same form with
    a power below one, where Newton's method is at home.
    """
    start = level ** (1 / (1 + power))  # the solution for orthogonal rows
    solved = _newton(cosines, power, level, start, tolerance, limit if power <= 1 else 20)
    if solved.residual <= 1e-6:
        return solved
    raised = cosines.clone()
    raised.diagonal().add_(RIDGE)
    if power <= 1:
        values = _newton(raised, power, level, solved.values, tolerance, limit).values
        return Solved(values, residual_of(cosines, power, level, values))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(raised)[0])
    size = inverse.diagonal().sqrt()
    other = level ** (1 / power) * size ** (1 / power - 1)
    begin = other ** (1 / (1 + 1 / power))
    across = _newton(inverse / size / size.unsqueeze(-1), 1 / power, other, begin, 0.1 * tolerance, limit)
    values = (level * size / across.values) ** (1 / power)
    polished = _newton(cosines, power, level, values, tolerance, 20)
    best = min(residual_of(cosines, power, level, values), polished.residual)
    return Solved(polished.values if best == polished.residual else values, best)


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
        near = float(step.abs().max()) < 0.25
        length = 1.0 if near else _length(cosines, values, product, step, demand, power)
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
