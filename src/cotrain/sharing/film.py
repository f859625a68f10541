"""FiLM: the tasks share every layer and each scales and shifts the features between them (Perez et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, run
from cotrain.sharing.pointwise import along_channels


@dataclass(frozen=True, kw_only=True)
class FiLM:
    """h_k^l = (1 + c_k^l) * f^l(h_k^(l-1)) + b_k^l after every stage: one scale and one shift a task, stage and channel.

    f^l: stage l, shared by all tasks, run once a task from the first scaled signal on. c, b begin at 0, so that the network begins as hard
    sharing. A linear layer from a one-hot task code to scales and shifts, as a conditioning network, is the same thing.
    split: the first stage whose features are scaled (0: all of them); stages up to it run once for all tasks. Batch norms, if the stages
    have any, meet each task's rows in turn.

    Source: E. Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, AAAI 2018, equation 2 and, for 1 + c, section 3.
    """

    name: ClassVar[str] = "film"
    family: ClassVar[str] = "features"
    cost: ClassVar[str] = (
        "one pass a task of the stages after `split`; parameters of one trunk, and two numbers a task and channel"
    )
    source: ClassVar[str] = "E. Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, AAAI 2018"
    apart: ClassVar[bool] = False
    split: int = 0

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> FiLMSharing:
        return FiLMSharing(stages, shapes, tasks, first_copied("film", self.split, stages))


class Scaling(nn.Module):
    """(1 + c) * x + b over channels. scale, shift [D], both 0 at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, signal: Signal) -> Signal:
        scale, shift = along_channels(1 + self.scale, signal), along_channels(self.shift, signal)
        return signal.of(scale * signal.values + shift)


class FiLMSharing(nn.Module):
    """Shared stages once up to `begin`, then once a task, with the task's scaling after each."""

    def __init__(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], begin: int) -> None:
        super().__init__()
        self.bottom, self.stages = stages[: begin + 1], stages[begin + 1 :]
        self.scalings = nn.ModuleDict(
            {slot(task): nn.ModuleList(Scaling(shape.width) for shape in shapes[begin + 1 :]) for task in tasks}
        )
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        answer: dict[str, list[Signal]] = {}
        for task in self.shapes:
            first, *rest = cast(nn.ModuleList, self.scalings[slot(task)])
            signals = [*bottom[:-1], first(bottom[-1])]
            for stage, scaling in zip(self.stages, rest, strict=True):
                signals.append(scaling(stage(signals[-1])))
            answer[task] = signals
        return answer

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per task: root mean square of c over all stages, how far it has moved from hard sharing."""
        scales = {
            task: torch.cat(
                [cast(Scaling, one).scale.detach() for one in cast(nn.ModuleList, self.scalings[slot(task)])]
            )
            for task in self.shapes
        }
        return {f"film_scale/{task}": float(scale.square().mean().sqrt()) for task, scale in scales.items()}
