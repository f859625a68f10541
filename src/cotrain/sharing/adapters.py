"""Adapters: small bottlenecks of each task after the stages of a shared trunk (Rebuffi et al. 2017, Houlsby et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, run, whole_number
from cotrain.sharing.frozen import FrozenStages
from cotrain.sharing.pointwise import Pointwise, small_weights


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """h_k^l = x + U_k^l relu(D_k^l x + d_k^l) + u_k^l, with x = f^l(h_k^(l-1)): a bottleneck a task after every stage.

    f^l: stage l, shared by all tasks, run once a task from the first adapter on. D_k^l: from the stage's width to `width`; U_k^l: back.
    width: of the bottleneck (64, of the sizes 8, 64 and 256 that the paper tries). split: the first stage with adapters (0: all of them);
    stages up to it run once for all tasks.
    freeze: train the adapters and heads alone, for a pretrained trunk: stages keep their values and stay in evaluation mode (dropout off,
    running figures of norms as they are). What the encoder does before its stages is not the sharing's to freeze.
    Initial values: weights N(0, 0.01^2) cut off at two standard deviations, biases 0, near the identity as in the paper.

    Source: N. Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019, sections 2.1 and 3.6 (there inside every
    transformer layer; here after every stage); S. Rebuffi et al., Learning multiple visual domains with residual adapters, NeurIPS 2017.
    """

    name: ClassVar[str] = "adapters"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = (
        "one pass a task of the stages after `split`; parameters of one trunk, and a bottleneck a task and stage"
    )
    source: ClassVar[str] = "N. Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019"
    apart: ClassVar[bool] = False
    width: int = 64
    split: int = 0
    freeze: bool = False

    def __post_init__(self) -> None:
        whole_number("adapters.width", self.width)

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> AdaptersSharing:
        return AdaptersSharing(stages, shapes, tasks, self, first_copied("adapters", self.split, stages))


class Adapter(nn.Module):
    """x + U relu(D x + d) + u over channels."""

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        self.down = Pointwise(shape.layout, shape.width, width)
        self.up = Pointwise(shape.layout, width, shape.width)
        for layer in (self.down, self.up):
            small_weights(layer, 0.01)

    def forward(self, signal: Signal) -> Signal:
        return signal.of(signal.values + self.up(torch.relu(self.down(signal.values))))


class AdaptersSharing(nn.Module):
    """Shared stages once up to `begin`, then once a task, with the task's adapter after each."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: Adapters, begin: int
    ) -> None:
        super().__init__()
        if settings.freeze:
            stages = FrozenStages(stages)
        self.bottom, self.stages = stages[: begin + 1], stages[begin + 1 :]
        self.adapters = nn.ModuleDict(
            {
                slot(task): nn.ModuleList(Adapter(shape, settings.width) for shape in shapes[begin + 1 :])
                for task in tasks
            }
        )
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        answer: dict[str, list[Signal]] = {}
        for task in self.shapes:
            first, *rest = cast(nn.ModuleList, self.adapters[slot(task)])
            signals = [*bottom[:-1], first(bottom[-1])]
            for stage, adapter in zip(self.stages, rest, strict=True):
                signals.append(adapter(stage(signals[-1])))
            answer[task] = signals
        return answer

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        return {}
