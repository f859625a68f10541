"""LoRA: every task adds a low-rank matrix of its own to the shared weights (Hu et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cotrain.core.errors import ConfigError
from cotrain.core.naming import slot, unslot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, run, whole_number
from cotrain.sharing.frozen import FrozenStages


@dataclass(frozen=True, kw_only=True)
class LoRA:
    """W_k = W + (alpha / rank) B_k A_k for every matrix W of the stages: shared weights and, a task, a change of low rank.

    A_k [rank, i], B_k [o, rank] for W [o, i]; kernels of convolutions [o, i, ...] are matrices [o, i ...]. Vectors (biases, norms) are
    shared. It works on stages of any kind, a pretrained transformer among them: a stage is called with W_k in place of W.
    rank: at most the smaller side of each matrix (8). alpha: with adamw about the learning rate of the change; as the paper, the first
    rank tried, so 8. split: the first stage with changes (0: all of them); stages before it run once for all tasks.
    freeze: train A, B and heads alone, for a pretrained trunk: stages keep their values and stay in evaluation mode (dropout off, running
    figures of norms as they are). What the encoder does before its stages is not the sharing's to freeze.
    Initial values: A uniform in +-1/sqrt(i), a linear layer's own (the paper: Gaussian; its code: this), B 0: the network begins as hard
    sharing.

    Source: E. Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, section 4.1 (there on the attention's matrices;
    here on all). One a task on shared weights that train along: A. Agiza et al., MTLoRA, CVPR 2024.
    """

    name: ClassVar[str] = "lora"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = (
        "one pass a task of the stages from `split` on; parameters of one trunk, and rank x (i + o) a task and matrix"
    )
    source: ClassVar[str] = "E. Hu et al., LoRA, ICLR 2022; A. Agiza et al., MTLoRA, CVPR 2024"
    apart: ClassVar[bool] = False
    rank: int = 8
    alpha: float = 8.0
    split: int = 0
    freeze: bool = False

    def __post_init__(self) -> None:
        whole_number("lora.rank", self.rank)
        if not 0 < self.alpha < float("inf"):
            raise ConfigError(f"lora.alpha must be a number above 0, got {self.alpha}")

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> LoRASharing:
        begin = first_copied("lora", self.split, stages)
        if not any(parameter.dim() >= 2 for parameter in stages[begin:].parameters()):
            raise ConfigError(
                "lora changes matrices of the stages, but these have none; choose an earlier split, or use sharing film"
            )
        return LoRASharing(stages, shapes, tasks, self, begin)


class LowRank(nn.Module):
    """(alpha / rank) B A, in the shape of the weight it is added to. a [r, i], b [o, r]; r = min(rank, o, i)."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        outputs, inputs = len(weight), weight[0].numel()
        rank = min(rank, outputs, inputs)
        self.factor = alpha / rank
        bound = inputs**-0.5
        self.a = nn.Parameter(weight.new_empty(rank, inputs).uniform_(-bound, bound))
        self.b = nn.Parameter(weight.new_zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with the change added."""
        return torch.addmm(weight.flatten(1), self.b, self.a, alpha=self.factor).reshape(weight.shape)


class LoRASharing(nn.Module):
    """Shared stages once up to `begin`, then once a task with the task's weights."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: LoRA, begin: int
    ) -> None:
        super().__init__()
        if settings.freeze:
            stages = FrozenStages(stages)
        self.bottom, self.stages = stages[:begin], stages[begin:]
        self.changes = nn.ModuleDict(
            {
                slot(task): nn.ModuleList(changes_of(stage, settings.rank, settings.alpha) for stage in self.stages)
                for task in tasks
            }
        )
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        answer: dict[str, list[Signal]] = {}
        for task in self.shapes:
            signals = list(bottom)
            for stage, changes in zip(self.stages, cast(nn.ModuleList, self.changes[slot(task)]), strict=True):
                signals.append(functional_call(stage, changed(stage, cast(nn.ModuleDict, changes)), (signals[-1],)))
            answer[task] = signals
        return answer

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per task: |change| over |weight|, over all matrices together; 0 is hard sharing."""
        figures = {}
        with torch.no_grad():
            for task in self.shapes:
                moved, size = 0.0, 0.0
                for stage, changes in zip(self.stages, cast(nn.ModuleList, self.changes[slot(task)]), strict=True):
                    for name, weight in changed(stage, cast(nn.ModuleDict, changes)).items():
                        before = stage.get_parameter(name)
                        moved += float((weight - before).double().square().sum())
                        size += float(before.double().square().sum())
                figures[f"lora_change/{task}"] = (moved / size) ** 0.5 if size else 0.0
        return figures


def changes_of(stage: nn.Module, rank: int, alpha: float) -> nn.ModuleDict:
    """{slot(parameter's name): its change} for every matrix of a stage."""
    matrices = {name: one for name, one in stage.named_parameters() if one.dim() >= 2}
    return nn.ModuleDict({slot(name): LowRank(one.detach(), rank, alpha) for name, one in matrices.items()})


def changed(stage: nn.Module, changes: nn.ModuleDict) -> dict[str, Tensor]:
    """{parameter's name: the task's matrix}."""
    return {unslot(key): change(stage.get_parameter(unslot(key))) for key, change in changes.items()}
