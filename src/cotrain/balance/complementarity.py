"""One solver for the projections: the linear complementarity problem of a Gramian whose rows have unit length.

    find y >= 0 with  m = C y + q >= 0  and  y'm = 0           (the optimum of  min_{y >= 0} y'Cy / 2 + q'y)

MGDA, UPGrad, DualProj and CAGrad are all of this form, with different q. Solved exactly, for many q at once, by block principal
pivoting (Judice and Pires 1994; Kim and Park, "Fast nonnegative matrix factorization: an active-set-like method and
comparisons", SIAM J. Sci. Comput. 33, 2011, algorithm 2): guess which y are free, solve the linear system for them, move every
sign that is wrong to the other side. All q's share C; a round costs one batched Cholesky factorisation of the unfinished ones.
Where that stalls (C singular: more tasks than directions), a primal-dual interior point method finishes (Mehrotra, SIAM J.
Optim. 2, 1992), whose y and m are positive all the way.

T tasks, M right-hand sides.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

RIDGE = 1e-12
"""Added to C's diagonal while pivoting, so that parallel rows have one answer; refined away afterwards."""

TOLERANCE = 1e-11
"""A sign counts as wrong beyond this, relative to the largest entry of q or of y."""

ENOUGH = 1e-11
"""Where pivoting leaves a larger violation than this, the interior point method has a try, and the better answer is kept."""

GAP = 1e-14
"""The interior point method stops where the mean of y m, and m - C y - q, are below this, relative to max(1, |y|)."""


class Complementary(NamedTuple):
    """Solutions y [M, T], and the largest violation of the three conditions, relative to the entries of q and y."""

    solutions: Tensor
    violation: float


def complementary(cosines: Tensor, linear: Tensor) -> Complementary:
    """The y [M, T] for C [T, T], positive semi-definite with a diagonal near one, and q = `linear` [M, T] in the range of C.

    >>> cosines = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> complementary(cosines, cosines[:1]).solutions          # q = C e_1: the second row adds half of itself
    tensor([[0.0000, 0.5000]], dtype=torch.float64)
    """
    scale = linear.abs().amax(dim=-1, keepdim=True)
    wanted = linear / torch.where(scale > 0, scale, 1.0)
    solutions = _pivoted_one(cosines, wanted) if len(linear) == 1 else _pivoted(cosines, wanted)
    violation = _violation(cosines, wanted, solutions)
    if bool((violation > ENOUGH).any()):
        rest = violation > ENOUGH
        other = _interior(cosines, wanted[rest])
        found = _violation(cosines, wanted[rest], other)
        solutions[rest] = torch.where((found < violation[rest]).unsqueeze(-1), other, solutions[rest])
        violation[rest] = torch.minimum(found, violation[rest])
    return Complementary(solutions * scale, float(violation.max()))


def _violation(cosines: Tensor, linear: Tensor, solutions: Tensor) -> Tensor:
    """The largest violation [M] of m >= 0 and y m = 0, relative to max(1, |y|); infinite for a y that is not finite."""
    slack = solutions @ cosines + linear
    size = solutions.amax(dim=-1, keepdim=True).clamp_min(1.0)
    worst = torch.maximum(-slack, (solutions * slack).abs() / size).amax(dim=-1) / size.squeeze(-1)
    return worst.clamp_min(0.0).nan_to_num(torch.inf)


def _pivoted_one(cosines: Tensor, linear: Tensor) -> Tensor:
    """What `_pivoted` does, for one q [1, T]: the small systems are cut out instead of masked."""
    q = linear[0]
    solution, free = torch.zeros_like(q), q < 0
    fewest, chances = len(q) + 1, 3
    while chances >= 0:
        places = free.nonzero().squeeze(-1)
        matrix = cosines[places][:, places]
        right = -q[places].unsqueeze(-1)
        raised = matrix.clone()
        raised.diagonal().add_(RIDGE)
        factor = torch.linalg.cholesky_ex(raised)[0]
        part = torch.cholesky_solve(right, factor)
        solution = torch.zeros_like(q).index_put_((places,), part.squeeze(-1))
        bound = -TOLERANCE * max(1.0, float(solution.abs().amax()))
        wrong = torch.where(free, solution, cosines @ solution + q) < bound
        count = int(wrong.sum())
        if count == 0:
            for _ in range(2):
                better = part + torch.cholesky_solve(right - matrix @ part, factor)
                part = better if bool((better >= 0).all()) else part
            solution = torch.zeros_like(q).index_put_((places,), part.squeeze(-1).clamp_min(0.0))
            return solution.unsqueeze(0)
        chances = 3 if count < fewest else chances - 1
        fewest = min(fewest, count)
        free = free ^ wrong
    return torch.zeros_like(linear)


def _pivoted(cosines: Tensor, linear: Tensor) -> Tensor:
    """Solutions [M, T] by block principal pivoting; zeros where it stalls."""
    solutions = torch.zeros_like(linear)
    raised = cosines.clone()
    raised.diagonal().add_(RIDGE)
    todo = torch.arange(linear.shape[0], device=linear.device)
    free = linear < 0
    fewest = torch.full_like(todo, linear.shape[1] + 1)
    chances = torch.full_like(todo, 3)
    while todo.numel() > 0:
        q = linear[todo]
        factor = _factor(raised, free)
        y = _face(factor, -q, free)
        bound = TOLERANCE * y.abs().amax(dim=-1, keepdim=True).clamp_min(1.0)
        wrong = torch.where(free, y < -bound, y @ raised + q < -bound)
        count = wrong.sum(dim=-1)
        done = count == 0
        if bool(done.any()):
            solutions[todo[done]] = _refined(cosines, factor[done], q[done], free[done], y[done])
        better = count < fewest
        chances = torch.where(better, 3, chances - 1)
        fewest = torch.minimum(fewest, count)
        left = ~done & (chances >= 0)
        todo, fewest, chances = todo[left], fewest[left], chances[left]
        free = (free ^ wrong)[left]
    return solutions


def _factor(raised: Tensor, free: Tensor) -> Tensor:
    """Cholesky factors [M, T, T] of C on the free set, the identity elsewhere."""
    kept = free.to(raised.dtype)
    matrix = raised * kept.unsqueeze(-1) * kept.unsqueeze(-2)
    matrix.diagonal(dim1=-2, dim2=-1).add_(1 - kept)
    factor: Tensor = torch.linalg.cholesky_ex(matrix)[0]
    return factor


def _face(factor: Tensor, right: Tensor, free: Tensor) -> Tensor:
    """The y [M, T] with C y = `right` where `free` [M, T], zero elsewhere."""
    return torch.cholesky_solve((right * free).unsqueeze(-1), factor).squeeze(-1) * free


def _refined(cosines: Tensor, factor: Tensor, linear: Tensor, free: Tensor, solution: Tensor) -> Tensor:
    """`solution` after two rounds of refinement against C itself, without the ridge; kept where it stays non-negative."""
    refined = solution
    for _ in range(2):
        refined = refined - _face(factor, refined @ cosines + linear, free)
    kept = ((refined >= 0) | ~free).all(dim=-1, keepdim=True) & refined.isfinite().all(dim=-1, keepdim=True)
    return torch.where(kept, refined, solution).clamp_min(0.0)


def _interior(cosines: Tensor, linear: Tensor, limit: int = 60) -> Tensor:
    """Solutions [M, T] by Mehrotra's predictor and corrector; each stops on its own, all take part until the last is done."""
    tasks = linear.shape[1]
    y = torch.ones_like(linear)
    m = (y @ cosines + linear).clamp_min(1.0)
    for _ in range(limit):
        rest = y @ cosines + linear - m
        size = y.amax(dim=-1, keepdim=True).clamp_min(1.0)
        gap = (y * m).mean(dim=-1, keepdim=True)
        going = (gap > GAP * size) | (rest.abs().amax(dim=-1, keepdim=True) > GAP * size * tasks)
        if not bool(going.any()):
            break
        factor, failed = torch.linalg.cholesky_ex(cosines + torch.diag_embed(m / y))
        going = going & (failed == 0).unsqueeze(-1)
        if not bool(going.any()):
            break
        dy = torch.cholesky_solve((-rest - m).unsqueeze(-1), factor).squeeze(-1)
        dm = -m - m / y * dy
        reach = torch.minimum(_reach(y, dy), _reach(m, dm))
        centre = (((y + reach * dy) * (m + reach * dm)).mean(dim=-1, keepdim=True) / gap) ** 3 * gap
        aim = (centre - dy * dm) / y - m
        dy = torch.cholesky_solve((-rest + aim).unsqueeze(-1), factor).squeeze(-1)
        dm = aim - m / y * dy
        length = 0.999 * torch.minimum(_reach(y, dy), _reach(m, dm))
        y, m = torch.where(going, y + length * dy, y), torch.where(going, m + length * dm, m)
    return torch.where(y > GAP * m, y, 0.0)


def _reach(point: Tensor, step: Tensor) -> Tensor:
    """The longest step [M, 1], at most one, that keeps `point` [M, T] non-negative."""
    ratio = torch.where(step < 0, -point / step, 1.0)
    return ratio.amin(dim=-1, keepdim=True).clamp_max(1.0)
