"""Hard parameter sharing: one trunk for all tasks (Caruana 1997)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from cotrain.core.signals import Shape, Signal, TaskSignals


@dataclass(frozen=True, kw_only=True)
class Hard:
    """h = f(z) for every task alike; only the heads differ.

    Source: R. Caruana, Multitask Learning, Machine Learning 28, 1997.
    """

    name: ClassVar[str] = "hard"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = "one trunk, whatever the number of tasks"
    source: ClassVar[str] = "R. Caruana, Multitask Learning, Machine Learning 28, 1997"
    apart: ClassVar[bool] = False

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> HardSharing:
        return HardSharing(stages, shapes, tasks)


class HardSharing(nn.Module):
    """Runs the stages once and hands the same signals to every task."""

    def __init__(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> None:
        super().__init__()
        self.stages = stages
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        signals = [signal]
        for stage in self.stages:
            signals.append(stage(signals[-1]))
        return dict.fromkeys(self.shapes, signals)

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        return {}
