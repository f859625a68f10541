"""Stages that keep what they know while the layers added to them are trained."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


class FrozenStages(nn.ModuleList):
    """Stages whose parameters take no gradient, and that stay in evaluation mode: dropout off, running figures of norms as they are.

    A slice of them is frozen too.

    >>> stages = FrozenStages([nn.Linear(2, 2), nn.Dropout(0.5)]).train()
    >>> [stage.training for stage in stages], stages[0].weight.requires_grad, type(stages[1:]).__name__
    ([False, False], False, 'FrozenStages')
    """

    def __init__(self, stages: Iterable[nn.Module] | None = None) -> None:
        super().__init__(stages)
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> FrozenStages:
        """Evaluation mode, whatever is asked for."""
        super().train(False)
        return self
