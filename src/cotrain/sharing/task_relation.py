"""Task relations: how the tasks' own weights go together is learnt beside them (Zhang and Yeung 2010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, not_negative, per_task, run

RIDGE = 1e-3
"""How much of the mean is added to every eigenvalue of the covariance before it is inverted."""


@dataclass(frozen=True, kw_only=True)
class TaskRelation:
    """h_k = f_k(f(z)), and the objective gets strength x tr(W O^-1 W'), O = (W'W)^(1/2) / tr (W'W)^(1/2): a learnt covariance of tasks.

    f: the stages before `split`, shared; f_k: a copy a task of the others; W [P, T]: the copies' parameters, a column a task. O [T, T] is
    the covariance that makes the penalty least for these W, of trace 1, worked out anew at every step: positive where two tasks'
    parameters are alike, negative where they are opposite, near 0 where they have nothing to do with each other. At that O the
    penalty is the squared sum of the singular values of W: tasks are drawn to a few common directions.
    strength: 0 leaves the copies alone with their tasks (1e-4 unless set; it acts as weight decay of about T x strength on unrelated tasks).
    split: the first stage that is copied (-1: only the last). Copies draw initial values of their own: tasks begin unrelated, O = I / T,
    as in the paper.

    Differs from the paper: O gets a ridge of 0.001 of its mean eigenvalue; the paper's second penalty, |W|^2, is the optimiser's weight
    decay; W are stages, since heads belong to their tasks (as M. Long et al., Multilinear Relationship Networks, NeurIPS 2017).

    Source: Y. Zhang, D.-Y. Yeung, A Convex Formulation for Learning Task Relationships in Multi-Task Learning, UAI 2010.
    """

    name: ClassVar[str] = "task_relation"
    family: ClassVar[str] = "tasks"
    cost: ClassVar[str] = "a copy a task of the stages from `split` on; a tasks x tasks eigenproblem a step"
    source: ClassVar[str] = "Y. Zhang, D.-Y. Yeung, A Convex Formulation for Learning Task Relationships, UAI 2010"
    apart: ClassVar[bool] = False
    strength: float = 1e-4
    split: int = -1

    def __post_init__(self) -> None:
        not_negative("task_relation.strength", self.strength)

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> TaskRelationSharing:
        begin = first_copied("task_relation", self.split, stages)
        return TaskRelationSharing(stages, shapes, tasks, self.strength, begin)


def covariance(products: Tensor, ridge: float = RIDGE) -> Tensor:
    """O = S^(1/2) / tr S^(1/2) of S = W'W [T, T], with the ridge added and trace 1. I / T where S is 0.

    >>> covariance(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), 0.0).tolist()
    [[0.6666666666666666, 0.0], [0.0, 0.3333333333333333]]
    """
    values, vectors = torch.linalg.eigh(products.double())
    roots = values.clamp_min(0).sqrt()
    mean = roots.mean()
    roots = roots + ridge * mean if float(mean) > 0 else torch.ones_like(roots)
    relation: Tensor = vectors @ torch.diag(roots / roots.sum()) @ vectors.t()
    return relation


class TaskRelationSharing(nn.Module):
    """Shared stages once, then each task's own; `penalty` relates them."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], strength: float, begin: int
    ) -> None:
        super().__init__()
        self.bottom, self.strength = stages[:begin], strength
        self.own = per_task(stages[begin:], tasks, alike=False)
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        shared = [signal, *run(self.bottom, signal)]
        own = {task: cast(nn.ModuleList, self.own[slot(task)]) for task in self.shapes}
        return {task: [*shared, *run(stages, shared[-1])] for task, stages in own.items()}

    def products(self) -> Tensor:
        """S = W'W, [T, T]."""
        copies = zip(*(list(copy.parameters()) for copy in self.own.values()), strict=True)
        rows = [torch.stack(same).flatten(1) for same in copies]
        return torch.stack([row @ row.t() for row in rows]).sum(0)

    def penalty(self) -> Tensor | None:
        if self.strength == 0 or not any(True for _ in self.own.parameters()):
            return None
        products = self.products()
        inverse = torch.linalg.inv(covariance(products.detach())).to(products.dtype)
        term: Tensor = self.strength * (products * inverse).sum()
        return term

    def usage(self) -> Mapping[str, float]:
        """Per pair of tasks: the learnt correlation O_ab / sqrt(O_aa O_bb), in [-1, 1]."""
        if not any(True for _ in self.own.parameters()):
            return {}
        with torch.no_grad():
            relation = covariance(self.products())
        lengths = relation.diagonal().sqrt()
        correlation = (relation / torch.outer(lengths, lengths)).tolist()
        names = list(self.shapes)
        pairs = combinations(range(len(names)), 2)
        return {f"task_correlation/{names[a]}~{names[b]}": correlation[a][b] for a, b in pairs}
