"""UPGrad: every gradient is made harmless to all, then they are averaged."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.cone import projected
from cotrain.balance.cosines import norms_and_cosines
from cotrain.balance.newton import Solved
from cotrain.balance.protocol import Family, Seen


def upgrad_weights(gramian: Tensor) -> Solved:
    """w = (1/T) sum_i argmin over v >= e_i of v'Gv, for G [T, T] with positive diagonal; all T problems solved at once.

    Problem i is the projection of g_i; in unit rows its solution is n_i times that of e_i, so that the rows' scales enter
    only here: w = (1/T) sum_i n_i y_i / n.
    """
    norms, cosines = norms_and_cosines(gramian)
    found = projected(cosines, torch.eye(len(norms), dtype=norms.dtype, device=norms.device))
    return Solved(norms @ found.coefficients / norms / len(norms), found.violation)


@final
class UPGrad(GramianWeigher):
    """d = (1/T) sum_i pi(g_i), pi the projection onto the dual cone {d : <g_k, d> >= 0 for all k}.

    As weights: w = (1/T) sum_i argmin over v >= e_i of v'Gv, G [T, T] the Gramian. For two tasks this is `PCGrad`'s direction;
    a longer gradient has more say. T quadratic programs, solved exactly and together on the row-normalised Gramian, so that
    nothing depends on the gradients' scale. Differences: TorchJD (the authors' library) adds 1e-4 to a Gramian divided by its
    trace and treats a trace below 1e-4 as zero, where the answer becomes the plain mean; here nothing is added. All tasks are
    preferred alike (the authors allow a preference vector).

    Where the gradients allow no common descent direction (opposite rows, a Pareto-stationary point) d is zero to rounding.
    Promises: <g_k, d> >= -1e-6 |g_k| |d| for all k, each row scaled over four decades.

    Source: Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization", arXiv:2406.16232, 2024.

    >>> gramian = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> UPGrad().weights(gramian).tolist()
    [0.75, 0.75]
    """

    name: ClassVar[str] = "upgrad"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Quinton, Rey, Jacobian Descent for Multi-Objective Optimization, arXiv:2406.16232, 2024"
    cost: ClassVar[str] = "1 Gramian step; solve 0.6 to 14 ms at 2 to 64 tasks"

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        solved = upgrad_weights(gramian_of(seen))
        if solved.residual > 1e-8:
            self.note(f"UPGrad: the projections were found to {solved.residual:.1e} only at step {seen.step}")
        return solved.values
