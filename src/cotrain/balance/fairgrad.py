"""FairGrad: alpha-fair shares of the improvement."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.cosines import norms_and_cosines
from cotrain.balance.newton import Solved, fair_point
from cotrain.balance.protocol import Family, Seen
from cotrain.core.errors import ConfigError


def fairgrad_weights(gramian: Tensor, alpha: float) -> Solved:
    """The w > 0 [T] with G w = w^(-1/alpha), for G [T, T] with positive diagonal, and max_k |w_k^(1/alpha) (G w)_k - 1|.

    With u = n * w the condition is C u = n^(p-1) u^-p, p = 1/alpha; n is divided by its geometric mean s first, and the answer
    multiplied by s^(-2/(1+p)), so that no Gramian is too small or too large.
    """
    power = 1 / alpha
    norms, cosines = norms_and_cosines(gramian)
    unit = norms.log().mean().exp()
    norms = norms / unit
    solved = fair_point(cosines, power, norms ** (power - 1))
    return Solved(solved.values / norms * unit ** (-2 / (1 + power)), solved.residual)


@final
class FairGrad(GramianWeigher):
    """G w = w^(-1/alpha), w > 0: <g_k, d> = w_k^(-1/alpha), the alpha-fair division of the improvement.

    `alpha` 1 (the authors' default) is proportional fairness, the condition of `NashMTL`; near 0 the tasks' improvements are
    summed, and the larger alpha, the more the least improved task counts. The authors' solver is SciPy's least squares from w =
    1/T; here the strictly convex problem min_w w'Gw/2 - sum_k w_k^(1-1/alpha) / (1-1/alpha) is solved by a damped Newton method
    to a relative residual of 1e-9.

    Where no solution exists (opposite rows, Pareto-stationary points) the cosine matrix's diagonal is raised by 1e-10: weights
    stay positive, d almost vanishes, and `notes` says so. Raises ConfigError for alpha <= 0 (alpha = 0 is `Sum`).

    Promises: w > 0; <g_k, d> > 0 for every task; residual <= 1e-5 wherever a solution exists that float64 can hold.

    Source: Ban and Ji, "Fair Resource Allocation in Multi-Task Learning", ICML 2024, equation 4 and algorithm 1.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 8.0]], dtype=torch.float64)
    >>> [round(weight, 6) for weight in FairGrad(alpha=2.0).weights(gramian).tolist()]    # n^-4/3 for orthogonal rows
    [1.0, 0.25]
    """

    name: ClassVar[str] = "fairgrad"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Ban, Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024, eq. 4"
    cost: ClassVar[str] = "1 Gramian step; solve 0.5 to 1.2 ms at 2 to 64 tasks"

    def __init__(self, *, alpha: float = 1.0) -> None:
        super().__init__()
        if not 0 < alpha < float("inf"):
            raise ConfigError(f"fairgrad: alpha is positive and finite; got {alpha}; 1 is the default, for 0 use sum")
        self._alpha = float(alpha)

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        solved = fairgrad_weights(gramian_of(seen), self._alpha)
        if solved.residual > 1e-5:
            self.note(
                f"FairGrad: no fair solution at step {seen.step} (residual {solved.residual:.1e}): some convex combination of "
                "the gradients is zero to rounding, or alpha too small for lengths so uneven; the nearest solution was used"
            )
        return solved.values
