"""MGDA: the shortest vector in the convex hull of the gradients."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.complementarity import complementary
from cotrain.balance.cosines import norms_and_cosines
from cotrain.balance.newton import Solved
from cotrain.balance.positive import checked_losses, reciprocal
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError

Normalization = Literal["none", "l2", "loss", "loss+"]


def shortest(norms: Tensor, cosines: Tensor) -> Solved:
    """The w >= 0 [T], sum one, that minimises |sum_k w_k n_k e_k|^2 for unit vectors e with cosines C [T, T], lengths n [T].

    With u = n * w and b = 1/n the constraint is b'u = 1, and the minimiser of u'Cu + (b'u - 1)^2 over u >= 0 is that u up to
    its length (along a ray only the length changes): a non-negative least squares problem, which always has a solution, also
    where the hull contains zero.
    """
    inverse = norms.min() / norms
    found = complementary(cosines + inverse * inverse.unsqueeze(-1), -inverse.unsqueeze(0))
    weights = found.solutions[0] / norms
    return Solved(weights / weights.sum(), found.violation)


@final
class MGDA(GramianWeigher):
    """min over w >= 0, sum w = 1 of w'Gw: d = sum_k w_k g_k is the shortest convex combination, <g_k, d> >= |d|^2 for all k.

    For two tasks w_1 = clip((G_22 - G_12) / (G_11 + G_22 - 2 G_12), 0, 1). Solved exactly (the authors' Frank-Wolfe iteration
    stops after 250 rounds, and for two tasks some copies of it clip w to [0.001, 0.999]).

    `normalization` divides the gradients first, by 1 ("none"), |g_k| ("l2"), l_k ("loss") or l_k |g_k| ("loss+"), names and
    rules of the authors' code; it decides much. The weights are those of the undivided gradients, rescaled to sum one, so that d
    is the shortest vector among the divided ones and every <g_k, d> >= 0; the authors put the divided problem's weights on the
    undivided losses, where no task is protected. Default "none", the paper's problem. With the engine's `mode="features"` this
    is MGDA-UB. Where the hull contains zero (a Pareto-stationary point) d is zero. Raises ConfigError for another
    normalization, TrainingError for a negative loss where losses divide.

    Promises: w >= 0, sum one; <g_k, d> >= |d|^2 up to rounding.

    Source: Desideri, "Multiple-gradient descent algorithm (MGDA) for multiobjective optimization", Comptes Rendus Math. 350,
    2012; Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018 (algorithm 2
    is their iteration for it).

    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    >>> [round(weight, 6) for weight in MGDA().weights(gramian).tolist()]
    [0.75, 0.25]
    """

    name: ClassVar[str] = "mgda"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = (
        "Desideri 2012; Sener, Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018"
    )
    cost: ClassVar[str] = "1 Gramian step"

    def __init__(self, *, normalization: Normalization = "none") -> None:
        super().__init__()
        if normalization not in ("none", "l2", "loss", "loss+"):
            raise ConfigError(
                f"mgda: normalization is 'none', 'l2', 'loss' or 'loss+'; got '{normalization}'; 'none' is the paper's problem"
            )
        self._normalization: Normalization = normalization
        needs: set[Need] = {"gramian", "losses"} if normalization in ("loss", "loss+") else {"gramian"}
        self.needs = frozenset(needs)

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        norms, cosines = norms_and_cosines(gramian_of(seen))
        factor = torch.ones_like(norms)
        if self._normalization in ("l2", "loss+"):
            factor = factor / norms
        if self._normalization in ("loss", "loss+"):
            inverse = reciprocal(checked_losses(seen, "MGDA"))
            factor = factor * torch.where(inverse > 0, inverse, 1.0)
        solved = shortest(norms * factor, cosines)
        if solved.residual > 1e-8:
            self.note(f"MGDA: the shortest vector was found to {solved.residual:.1e} only at step {seen.step}")
        weights = solved.values * factor
        return weights / weights.sum()
