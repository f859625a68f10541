"""DB-MTL: log-losses, and their gradients brought to the longest one's length."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.positive import checked_losses
from cotrain.balance.protocol import Family, Need, Seen


def db_weights(norms: Tensor, losses: Tensor) -> Tensor:
    """w_k = max_j(n_j / l_j) / n_k [T]: each gradient of log l_k, of length n_k / l_k, made as long as the longest of them."""
    alive = losses > 0
    longest = torch.where(alive, norms / torch.where(alive, losses, 1.0), 0.0).max()
    return torch.where(longest > 0, longest, 1.0) / norms


@final
class DBMTL(GramianWeigher):
    """d = sum_k a_k q_k with q_k = grad log l_k = g_k / l_k and a_k = max_j |q_j| / |q_k|.

    On the gradients themselves the weights are w_k = a_k / l_k = max_j |q_j| / |g_k|: every task contributes the same length,
    and the losses only set that length.

    Differences: the paper smooths q_k over steps (exponential average, beta 0.9 decaying in its code), which needs one
    gradient a task in memory, T x P numbers; this form takes the step's own gradients (the authors' beta = 0), so that the
    T x T Gramian suffices. 1e-8 is not added to losses or norms. A loss of exactly 0 takes no part in the maximum. Heads stay at
    their own task's unit gradient, where the paper gives them the logarithm's. Raises TrainingError for a negative loss.

    Source: Lin et al., "Dual-Balancing for Multi-Task Learning", arXiv:2308.12029, 2023 (checked against
    the authors' code in LibMTL).

    >>> gramian = torch.tensor([[1.0, 0.3], [0.3, 9.0]], dtype=torch.float64)
    >>> DBMTL().weights(gramian, torch.tensor([2.0, 1.0])).tolist()          # |q| = (0.5, 3)
    [3.0, 1.0]
    """

    name: ClassVar[str] = "db_mtl"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Lin et al., Dual-Balancing for Multi-Task Learning, arXiv:2308.12029, 2023"
    cost: ClassVar[str] = "1 Gramian step; only its diagonal is used"
    needs: frozenset[Need] = frozenset({"losses", "gramian"})

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        return db_weights(gramian_of(seen).diagonal().sqrt(), checked_losses(seen, "DBMTL"))
