"""DualProj: the average gradient, made harmless to all."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.cone import projected
from cotrain.balance.cosines import norms_and_cosines
from cotrain.balance.newton import Solved
from cotrain.balance.protocol import Family, Seen


def dualproj_weights(gramian: Tensor) -> Solved:
    """w = argmin over v >= 1/T of v'Gv, for G [T, T] with positive diagonal."""
    norms, cosines = norms_and_cosines(gramian)
    found = projected(cosines, norms.unsqueeze(0) / len(norms))
    return Solved(found.coefficients[0] / norms, found.violation)


@final
class DualProj(GramianWeigher):
    """d = pi(g_0), g_0 the mean gradient, pi the projection onto {d : <g_k, d> >= 0 for all k}.

    As weights: argmin over v >= 1/T of v'Gv, G [T, T] the Gramian; one quadratic program, solved exactly on the row-normalised
    Gramian. It is what gradient episodic memory does with the gradients of past tasks, here with every task among the
    constraints. Differences: see `UPGrad`; the same solver, the same absence of added constants.

    Where no common descent direction exists d is zero to rounding. Promises: <g_k, d> >= -1e-6 |g_k| |d| for all k, each row
    scaled over four decades.

    Source: Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", NeurIPS 2017, equation 11; named DualProj
    by Quinton and Rey, arXiv:2406.16232, 2024.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, -2.0], [-2.0, 8.0]], dtype=torch.float64)
    >>> DualProj().weights(gramian).tolist()                                # w_1 grows until <g_1, d> = 0
    [1.0, 0.5]
    """

    name: ClassVar[str] = "dualproj"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Lopez-Paz, Ranzato, Gradient Episodic Memory, NeurIPS 2017, eq. 11; arXiv:2406.16232"
    cost: ClassVar[str] = "1 Gramian step"

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        solved = dualproj_weights(gramian_of(seen))
        if solved.residual > 1e-8:
            self.note(f"DualProj: the projection was found to {solved.residual:.1e} only at step {seen.step}")
        return solved.values
