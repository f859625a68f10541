"""Nash-MTL: the Nash bargaining solution between the tasks."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.cosines import norms_and_cosines
from cotrain.balance.newton import RIDGE, Solved, fair_point
from cotrain.balance.protocol import Family, Seen


def nash_weights(gramian: Tensor) -> Solved:
    """The a > 0 [T] with G a = 1/a, for a Gramian G [T, T] with positive diagonal, and the residual max_k |a_k (G a)_k - 1|.

    With u = n * a the condition is C u = 1/u in the cosines alone, so row scales only divide the answer.
    For two tasks a_k = 1 / (n_k sqrt(1 + cos)), used as it stands wherever 1 + cos is more than rounding.
    """
    norms, cosines = norms_and_cosines(gramian)
    if len(norms) == 2 and (apart := 1.0 + float(cosines[0, 1])) > RIDGE:
        return Solved(apart**-0.5 / norms, 0.0)
    solved = fair_point(cosines, 1.0, torch.ones_like(norms))
    return Solved(solved.values / norms, solved.residual)


@final
class NashMTL(GramianWeigher):
    """G a = 1/a, a > 0: no task can gain in relative terms without another losing as much, <g_k, d> = 1 / a_k > 0.

    G [T, T] is the Gramian of the shared gradients, d = sum_k a_k g_k. Equivalent to min_a a'Ga/2 - sum_k log a_k, strictly
    convex; solved by a damped Newton method to a residual max_k |a_k (G a)_k - 1| of 1e-9 (the authors run at most 20 rounds
    of a convex-concave procedure with ECOS and stop at 1e-3 on the Gramian divided by its Frobenius norm). Weights are those
    of G itself: the authors' are those of G / |G|_F, sqrt(|G|_F) times larger, of the same direction. Solved afresh at every
    call; the engine's `every=n` is the authors' `update_weights_every`. Clipping the shared gradient to norm one, as in the
    authors' code, is the optimiser's affair and not done here.

    Where no solution exists (a convex combination of the gradients is zero: opposite rows, or a Pareto-stationary point) the
    cosine matrix's diagonal is raised by 1e-10: weights stay positive and d almost vanishes. `notes` says so. The direction
    does not change when a task's loss is rescaled: a_k n_k depends on the cosines only.

    Promises: a > 0; <g_k, d> > 0 for every task; residual <= 1e-5 wherever a solution exists that float64 can hold.

    Source: Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022, algorithm 1.

    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    >>> [round(weight, 6) for weight in NashMTL().weights(gramian).tolist()]     # 1 / |g_k| for orthogonal rows
    [1.0, 0.5]
    """

    name: ClassVar[str] = "nash_mtl"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022, algorithm 1"
    cost: ClassVar[str] = "1 Gramian step; solve 0.5 to 1.2 ms at 2 to 64 tasks"

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """a [T]."""
        solved = nash_weights(gramian_of(seen))
        if solved.residual > 1e-5:
            self.note(
                f"NashMTL: no bargaining solution at step {seen.step} (residual {solved.residual:.1e}): some convex combination "
                "of the gradients is zero to rounding; the regularised solution was used"
            )
        return solved.values
