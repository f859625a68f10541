"""Joint feature selection: all tasks choose from the trunk's features, and are drawn to choose the same few (l2,1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import not_negative, run
from cotrain.sharing.pointwise import along_channels


@dataclass(frozen=True, kw_only=True)
class FeatureSelection:
    """h_k = w_k * f(z), and the objective gets strength x sum_d sqrt(sum_k w_kd^2): a weight a task and feature, sparse by whole features.

    f: the trunk, shared by all tasks; d: its channels after the last stage. The penalty is the l2,1 norm of the matrix of weights: it drives
    a feature's weights to 0 in all tasks together, and leaves those of a chosen feature to differ.
    strength: 0 is hard sharing with a learnt scale; 1e-3 unless set. Weights begin at 1: hard sharing.
    A head can undo a small weight with a large one of its own; what holds it back is the optimiser's weight decay. With both, the price of
    a feature of effect c grows as c^(2/3), which is sparser still than the norm itself. Gradient steps bring weights near 0, not to it.

    Source: G. Obozinski, B. Taskar, M. Jordan, Joint covariate selection and joint subspace selection, Statistics and Computing 20, 2010;
    with learnt features: A. Argyriou, T. Evgeniou, M. Pontil, Convex multi-task feature learning, Machine Learning 73, 2008. There the norm
    is on the last layer's own weights; here on a scale before it, since heads belong to their tasks.

    >>> float(l21(torch.tensor([[3.0, 0.0], [4.0, 0.0]])))
    5.0
    """

    name: ClassVar[str] = "feature_selection"
    family: ClassVar[str] = "features"
    cost: ClassVar[str] = "one trunk; one number a task and feature"
    source: ClassVar[str] = (
        "G. Obozinski et al., Joint covariate selection, 2010; A. Argyriou et al., Convex multi-task feature learning, 2008"
    )
    apart: ClassVar[bool] = False
    strength: float = 1e-3

    def __post_init__(self) -> None:
        not_negative("feature_selection.strength", self.strength)

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> FeatureSelectionSharing:
        return FeatureSelectionSharing(stages, shapes, tasks, self.strength)


def l21(weights: Tensor) -> Tensor:
    """sum_d sqrt(sum_k w_kd^2) of weights [T, D], with gradient 0 where a feature's weights are all 0."""
    squares = weights.square().sum(0)
    return torch.where(squares > 0, squares.where(squares > 0, torch.ones_like(squares)).sqrt(), squares).sum()


class FeatureSelectionSharing(nn.Module):
    """The trunk once; each task's weights on its last signal."""

    def __init__(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], strength: float) -> None:
        super().__init__()
        self.stages, self.strength = stages, strength
        self.weights = nn.ParameterDict({slot(task): torch.ones(shapes[-1].width) for task in tasks})
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        *before, last = [signal, *run(self.stages, signal)]
        weights = {task: along_channels(self.weights[slot(task)], last) for task in self.shapes}
        return {task: [*before, last.of(weight * last.values)] for task, weight in weights.items()}

    def penalty(self) -> Tensor | None:
        return self.strength * l21(torch.stack(list(self.weights.values()))) if self.strength else None

    def usage(self) -> Mapping[str, float]:
        """The share of features whose weights, over all tasks, are at least a hundredth as long as the longest."""
        with torch.no_grad():
            length = torch.stack(list(self.weights.values())).square().sum(0).sqrt()
        return {"features_kept": float((length >= 0.01 * length.max()).double().mean())}
