"""CAGrad: near the average gradient, as good as possible for the task that gains least."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.complementarity import complementary
from cotrain.balance.cone import projected
from cotrain.balance.cosines import norms_and_cosines
from cotrain.balance.mgda import shortest
from cotrain.balance.newton import Solved
from cotrain.balance.protocol import Family, Seen
from cotrain.core.errors import ConfigError


class _Problem(NamedTuple):
    """Unit rows with cosines [T, T], lengths `norms` [T], `pulls` b_k = <g_k, g_0>, and the ball's `radius` c |g_0|."""

    cosines: Tensor
    norms: Tensor
    pulls: Tensor
    radius: float


def cagrad_weights(gramian: Tensor, c: float) -> Solved:
    """The weights [T] of d = argmax over |d - g_0| <= c |g_0| of min_k <g_k, d>, and the relative duality gap.

    The dual of that problem is the paper's min over the simplex of <g_w, g_0> + c |g_0| |g_w|, with d = g_0 + (c |g_0| / |g_w|)
    g_w. Solved along the value v = min_k <g_k, d>: for each v the nearest d to g_0 with all <g_k, d> >= v is a projection, d =
    g_0 + sum_k y_k e_k over unit rows, whose distance r(v) grows with v; while the set of y_k > 0 stays, r^2 is a quadratic in v,
    so that r(v) = c |g_0| is solved exactly after a few sets. The gap between the dual's value at w ~ y / n and min_k <g_k, d>,
    over c |g_0| |g_w|, certifies the answer.
    """
    norms, cosines = norms_and_cosines(gramian)
    norms = norms / norms.max()
    tasks = len(norms)
    mean = norms / tasks
    length = float((mean @ cosines @ mean).clamp_min(0.0).sqrt())
    equal = torch.full_like(norms, 1 / tasks)
    if c == 0 or length <= 1e-13 * float(mean.sum()):
        return Solved(equal, 0.0)
    problem = _Problem(cosines, norms, norms * (cosines @ mean), c * length)
    found = projected(cosines, mean.unsqueeze(0))
    harmless = found.coefficients[0]
    added = harmless - mean
    distance = float((added @ cosines @ added).clamp_min(0.0).sqrt())
    low, high = float(problem.pulls.min()), 0.0
    if distance < problem.radius:
        nearest = shortest(norms, cosines).values * norms
        least = float((nearest @ cosines @ nearest).clamp_min(0.0).sqrt())
        if least <= 1e-9 * float(nearest.sum()):
            return Solved(harmless / norms, found.violation)
        low, high = max(low, 0.0), (1 + c) * length * least
    added = _at_radius(problem, low, high)
    return Solved((mean + added) / norms, _gap(problem, mean, added))


def _at_radius(problem: _Problem, low: float, high: float) -> Tensor:
    """The y >= 0 [T] of the projection whose distance is the radius; its value v lies in [low, high]."""
    added = torch.zeros_like(problem.norms)
    value = high
    for _ in range(60):
        right = (value - problem.pulls) / problem.norms
        added = complementary(problem.cosines, -right.unsqueeze(0)).solutions[0]
        distance = float((added @ problem.cosines @ added).clamp_min(0.0).sqrt())
        if abs(distance - problem.radius) <= 1e-13 * problem.radius:
            break
        if distance > problem.radius:
            high = value
        else:
            low = value
        ahead = _on_face(problem, added > 0)
        if not low < ahead < high:
            ahead = 0.5 * (low + high)
        if abs(ahead - value) <= 1e-16 * (abs(low) + abs(high)):
            break
        value = ahead
    distance = float((added @ problem.cosines @ added).clamp_min(0.0).sqrt())
    return added * (problem.radius / distance) if distance > 0 else added


def _on_face(problem: _Problem, free: Tensor) -> float:
    """The v at which the distance is the radius if exactly the rows `free` [T] are active; nan where there is none."""
    if not bool(free.any()):
        return float("nan")
    matrix = problem.cosines[free][:, free]
    sides = torch.stack((1 / problem.norms[free], problem.pulls[free] / problem.norms[free]), dim=-1)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed) != 0:
        return float("nan")
    square, cross, rest = (sides.mT @ torch.cholesky_solve(sides, factor)).flatten()[[0, 1, 3]].tolist()
    inside = cross * cross - square * (rest - problem.radius**2)
    return float((cross + inside**0.5) / square) if inside >= 0 else float("nan")


def _gap(problem: _Problem, mean: Tensor, added: Tensor) -> float:
    """(dual value - primal value) / (c |g_0| |g_w|) at d = g_0 + added, w ~ added / norms; at least 0 up to rounding."""
    weights = added / problem.norms
    total = weights.sum()
    if not float(total) > 0:
        return float("inf")
    length = (added @ problem.cosines @ added).clamp_min(0.0).sqrt() / total
    dual = float(weights @ problem.pulls / total + problem.radius * length)
    primal = float((problem.norms * (problem.cosines @ (mean + added))).min())
    return (dual - primal) / (problem.radius * float(length))


@final
class CAGrad(GramianWeigher):
    """d = argmax over |d - g_0| <= c |g_0| of min_k <g_k, d>, g_0 the mean gradient.

    d = g_0 + (c |g_0| / |g_w|) g_w with w on the simplex minimising <g_w, g_0> + c |g_0| |g_w|; the weights returned are 1/T +
    (c |g_0| / |g_w|) w. c = 0 is the mean, c -> infinity `MGDA`'s direction. `c` 0.4 is the authors' for NYUv2 and the default of
    nash-mtl (0.5 in the toy problem and in LibMTL). Solved exactly, with a certificate (`cagrad_weights`); the authors run SciPy's
    SLSQP from w = 1/T with 1e-8 added under the roots, and divide d by 1 + c^2 (their "rescale 1"), which the engine's length
    decides here.

    Where the hull of the gradients contains zero and the best least gain is zero (always so for c >= 1 at a Pareto-stationary
    point), w is undefined: d is then the nearest vector to g_0 that harms no task, `DualProj`'s, which attains that gain. Where
    g_0 itself vanishes the weights are 1/T. Raises ConfigError for c < 0.

    Promises: a relative duality gap <= 1e-8, else `notes` says so; for c >= 1, <g_k, d> >= -1e-6 |g_k| |d| for all k.

    Source: Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS 2021, algorithm 1.

    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    >>> [round(weight, 6) for weight in CAGrad(c=0.5).weights(gramian).tolist()]     # by symmetry g_w = g_0
    [0.75, 0.75]
    """

    name: ClassVar[str] = "cagrad"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = (
        "Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021, algorithm 1"
    )
    cost: ClassVar[str] = "1 Gramian step; solve 2 to 4 ms at 2 to 64 tasks"

    def __init__(self, *, c: float = 0.4) -> None:
        super().__init__()
        if not 0 <= c < float("inf"):
            raise ConfigError(f"cagrad: c is finite and >= 0; got {c}; 0.4 is the default, 0 gives the mean")
        self._c = float(c)

    def answer(self, seen: Seen) -> Tensor:
        """The weights 1/T + lambda w [T]."""
        solved = cagrad_weights(gramian_of(seen), self._c)
        if solved.residual > 1e-8:
            self.note(f"CAGrad: solved to a relative duality gap of {solved.residual:.1e} only at step {seen.step}")
        return solved.values
