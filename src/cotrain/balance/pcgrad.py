"""PCGrad: from each gradient, what opposes another one is removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.cosines import norms_and_cosines
from cotrain.balance.draws import Draws
from cotrain.balance.protocol import Family, Seen


def pcgrad_weights(gramian: Tensor, orders: Tensor) -> Tensor:
    """w [T] = column sums of M, where row i of M [T, T] holds task i's surgically changed gradient in terms of all gradients.

    M starts as the identity; row i visits the tasks j != i in the order of `orders` [T, T] and, where p_i = sum_k M_ik g_k has
    <p_i, g_j> < 0, subtracts <p_i, g_j> / |g_j|^2 from M_ij. Rows do not meet, so all take their visit at once. In unit rows.
    """
    norms, cosines = norms_and_cosines(gramian)
    rows = torch.arange(len(norms), device=norms.device)
    mixed = torch.eye(len(norms), dtype=norms.dtype, device=norms.device)
    for others in orders.unbind(dim=1):
        overlap = (mixed * cosines[others]).sum(dim=-1).clamp_max(0.0)
        mixed[rows, others] -= torch.where(others == rows, 0.0, overlap)
    return norms @ mixed / norms


@final
class PCGrad(GramianWeigher):
    """For each task i and the others j in random order: where p_i opposes g_j, p_i <- p_i - (<p_i, g_j> / |g_j|^2) g_j.

    d = sum_i p_i, p_i starting at g_i; g_j is always the original gradient. Carried out on coefficients, so that the Gramian
    [T, T] suffices and no T x P copy is made. The sum is the paper's; some copies average. For two tasks no order is left, and d
    has `UPGrad`'s direction; for more, d may still oppose a task. Orders come from the method's own generator (`seed`, kept in
    `state_dict`), one a task, the same for the same names in any order.

    Source: Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, algorithm 1.

    >>> gramian = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> PCGrad().weights(gramian).tolist()
    [1.5, 1.5]
    """

    name: ClassVar[str] = "pcgrad"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1"
    cost: ClassVar[str] = "1 Gramian step"

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self._draws = Draws(seed)

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        gramian = gramian_of(seen)
        return pcgrad_weights(gramian, self._draws.orders(seen.tasks).to(gramian.device))

    def own_state(self) -> dict[str, Any]:
        """The generator."""
        return self._draws.state_dict()

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._draws.load_state_dict(state)
