"""Soft parameter sharing: a trunk a task, held together by the squared distance to their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, not_negative, per_task, run


@dataclass(frozen=True, kw_only=True)
class SoftL2:
    """h_k = f_k(z), and the objective gets strength x sum_l sum_k |W_k^l - mean_j W_j^l|^2 over all parameters W_k^l of the copies.

    strength: 0 leaves the trunks alone with their tasks; the larger, the nearer to hard sharing (1e-3, amid the 1e-4 to 1e-2 in use).
    split: the first stage that is copied (0: all of them); stages before it are shared. Copies begin as the stages stand, all alike: at
    the start the penalty is 0 and the network that of hard sharing. Running figures of batch norms are each copy's own and not held together.

    Source: T. Evgeniou, M. Pontil, Regularized multi-task learning, KDD 2004 (the distance to the mean); L. Duong et al., Low Resource
    Dependency Parsing, ACL 2015 (between neural networks, two of them, with the distance to each other).

    >>> a, b = torch.tensor([1.0, 0.0]), torch.tensor([3.0, 0.0])
    >>> float(distance_to_mean([[a], [b]]))
    2.0
    """

    name: ClassVar[str] = "soft_l2"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = "a copy a task of the stages from `split` on"
    source: ClassVar[str] = (
        "T. Evgeniou, M. Pontil, Regularized multi-task learning, KDD 2004; L. Duong et al., ACL 2015"
    )
    apart: ClassVar[bool] = False
    strength: float = 1e-3
    split: int = 0

    def __post_init__(self) -> None:
        not_negative("soft_l2.strength", self.strength)

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> SoftL2Sharing:
        return SoftL2Sharing(stages, shapes, tasks, self.strength, first_copied("soft_l2", self.split, stages))


class SoftL2Sharing(nn.Module):
    """Runs every task's own trunk; `penalty` is the only thing that joins them."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], strength: float, begin: int
    ) -> None:
        super().__init__()
        self.bottom = stages[:begin]
        self.own = per_task(stages[begin:], tasks)
        self.strength = strength
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        shared = [signal, *run(self.bottom, signal)]
        own = {task: cast(nn.ModuleList, self.own[slot(task)]) for task in self.shapes}
        return {task: [*shared, *run(stages, shared[-1])] for task, stages in own.items()}

    def penalty(self) -> Tensor | None:
        if len(self.own) < 2 or self.strength == 0:
            return None
        return self.strength * distance_to_mean([list(copy.parameters()) for copy in self.own.values()])

    def usage(self) -> Mapping[str, float]:
        """How far the trunks lie apart: sum_k |W_k - mean W|^2 over sum_k |W_k|^2, 0 where all are alike."""
        with torch.no_grad():
            copies = [list(copy.parameters()) for copy in self.own.values()]
            size = sum(float(one.double().square().sum()) for copy in copies for one in copy)
            return {"distance_between_trunks": float(distance_to_mean(copies)) / size} if size else {}


def distance_to_mean(copies: Sequence[Sequence[Tensor]]) -> Tensor:
    """sum_l sum_k |W_k^l - mean_j W_j^l|^2, 0-dim. copies: for each k its tensors W_k^l, alike in shape."""
    stacks = [torch.stack(same) for same in zip(*copies, strict=True)]
    parts = [(stack - stack.mean(0)).square().sum() for stack in stacks]
    return torch.stack(parts).sum() if parts else torch.zeros(())
