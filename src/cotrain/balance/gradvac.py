"""GradVac: gradients turned towards each other until they are as similar as they usually are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.cosines import norms_and_cosines
from cotrain.balance.draws import Draws
from cotrain.balance.protocol import Family, Seen
from cotrain.core.errors import ConfigError


def gradvac_weights(gramian: Tensor, targets: Tensor, orders: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Weights [T], and the new targets [T, T], for a Gramian [T, T], `targets` [T, T] (of i towards j) and `orders` [T, T].

    Row i visits the tasks j in its order; where c = cos(p_i, g_j) is below the target t it adds
    |p_i| (t sqrt(1 - c^2) - c sqrt(1 - t^2)) / (|g_j| sqrt(1 - t^2)) of g_j, after which the cosine is t; then t <- (1 - beta) t +
    beta c. In unit rows, all rows at once.
    """
    norms, cosines = norms_and_cosines(gramian)
    rows = torch.arange(len(norms), device=norms.device)
    mixed = torch.eye(len(norms), dtype=norms.dtype, device=norms.device)
    targets = targets.clone()
    for others in orders.unbind(dim=1):
        length = ((mixed @ cosines) * mixed).sum(dim=-1).clamp_min(0.0).sqrt()
        safe = torch.where(length > 0, length, 1.0)
        cosine = ((mixed * cosines[others]).sum(dim=-1) / safe).clamp(-1.0, 1.0)
        target = targets[rows, others]
        height = (1 - target.square()).sqrt()
        pull = length * (target * (1 - cosine.square()).sqrt() / torch.where(height > 0, height, 1.0) - cosine)
        other = others != rows
        mixed[rows, others] += torch.where(other & (cosine < target), pull, 0.0)
        targets[rows, others] = torch.where(other, (1 - beta) * target + beta * cosine, target)
    return norms @ mixed / norms, targets


@final
class GradVac(GramianWeigher):
    """`PCGrad` with a target cosine for each pair of tasks instead of zero: the running mean of what the cosine has been.

    Targets start at 0 and follow t_ij <- (1 - beta) t_ij + beta cos(p_i, g_j) at every visit, p_i being task i's gradient as
    already changed. `beta` 0.5 is the default of LibMTL and TorchJD; the authors published no code, and the value their paper
    uses could not be verified. Whole-model cosines only (the paper also tries one target a layer). Orders come from the
    method's own generator (`seed`, kept in `state_dict` with the targets by task name). Raises ConfigError for a beta outside
    [0, 1].

    Source: Wang et al., "Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively Multilingual
    Models", ICLR 2021, algorithm 1 (checked against LibMTL's and TorchJD's code).

    >>> gramian = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    >>> GradVac().weights(gramian).tolist()                                 # targets are 0 at first: PCGrad
    [1.5, 1.5]
    """

    name: ClassVar[str] = "gradvac"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Wang et al., Gradient Vaccine, ICLR 2021, algorithm 1"
    cost: ClassVar[str] = "1 Gramian step"

    def __init__(self, *, beta: float = 0.5, seed: int = 0) -> None:
        super().__init__()
        if not 0 <= beta <= 1:
            raise ConfigError(
                f"gradvac: beta is between 0 and 1; got {beta}; 0.5 is the default, 0 never moves the targets"
            )
        self._beta = float(beta)
        self._draws = Draws(seed)
        self._targets: dict[str, dict[str, float]] = {}

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]; the targets move."""
        gramian = gramian_of(seen)
        known = [[self._targets.get(task, {}).get(other, 0.0) for other in seen.tasks] for task in seen.tasks]
        targets = torch.tensor(known, dtype=gramian.dtype).to(gramian.device)
        orders = self._draws.orders(seen.tasks).to(gramian.device)
        weights, targets = gradvac_weights(gramian, targets, orders, self._beta)
        for task, row in zip(seen.tasks, targets.tolist(), strict=True):
            self._targets.setdefault(task, {}).update(zip(seen.tasks, row, strict=True))
        return weights

    def own_state(self) -> dict[str, Any]:
        """The targets by task and task, and the generator."""
        targets = {task: dict(row) for task, row in self._targets.items()}
        return {"targets": targets, "draws": self._draws.state_dict()}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._targets = {
            str(task): {str(k): float(v) for k, v in row.items()} for task, row in state["targets"].items()
        }
        self._draws.load_state_dict(state["draws"])
