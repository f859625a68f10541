"""No sharing: every task has a network of its own, trained side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from cotrain.core.signals import Shape
from cotrain.sharing.hard import HardSharing


@dataclass(frozen=True, kw_only=True)
class Apart:
    """h_k = f_k(z_k): encoder, stages and head all belong to one task.

    `apart` tells the model to partition its tasks into groups of one, each with an encoder of its own.
    """

    name: ClassVar[str] = "none"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = "one whole network a task"
    source: ClassVar[str] = "the single-task baseline"
    apart: ClassVar[bool] = True

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> HardSharing:
        return HardSharing(stages, shapes, tasks)
