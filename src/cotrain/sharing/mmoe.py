"""Multi-gate mixture of experts (Ma et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.core.stacked import stack


@dataclass(frozen=True, kw_only=True)
class MMoE:
    """h_k = sum_e g_k(z)_e f_e(z), with g_k(z) = softmax(W_k pool(z)): E experts for all tasks, one gate a task.

    z: the signal before the experts; f_e: copy e of the stages; g_k(z)_e: how much task k uses expert e for this row, sum_e g_k(z)_e = 1.
    experts: E (8 in the paper's public data sets). split: the stage at which experts begin; stages before it are shared, the ones from
    it on are copied E times (0: experts read the encoder's embedding, as in the paper; -1: only the last stage is copied).
    gate_dropout: chance that an expert is left out for a row while training (a cure for gate collapse, 0.1 in public re-implementations).
    Initial gates are near uniform (weights N(0, 0.01^2)), so that at the start all experts learn.
    Each task is given the signals before the experts, and the mixed one last; what lies between the experts' own stages is not mixed.
    Copies begin with initial values of their own: what a pretrained stage knew is lost in them.

    Source: J. Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018, equations 6-7.
    """

    name: ClassVar[str] = "mmoe"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = "E copies of the stages from `split` on, in batched products"
    source: ClassVar[str] = "J. Ma et al., Multi-gate Mixture-of-Experts, KDD 2018"
    apart: ClassVar[bool] = False
    experts: int = 8
    split: int = -1
    gate_dropout: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.experts, bool) or not isinstance(self.experts, int) or self.experts < 1:
            raise ConfigError(f"mmoe.experts must be a whole number of at least 1, got {self.experts!r}")
        if not 0 <= self.gate_dropout < 1:
            raise ConfigError(f"mmoe.gate_dropout must lie in [0, 1), got {self.gate_dropout}")

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> MMoESharing:
        count = len(stages)
        if count == 0:
            raise ConfigError(
                "mmoe copies stages of the encoder, but this one has none; name some (widths of an mlp, stages= of an own trunk), or use sharing hard"
            )
        begin = self.split + count if self.split < 0 else self.split
        if not 0 <= begin < count:
            raise ConfigError(
                f"mmoe.split is {self.split}, but the encoder has {count} stages to copy; use a split in [-{count}, {count - 1}]"
            )
        return MMoESharing(stages, shapes, tasks, self, begin)


class MMoESharing(nn.Module):
    """Shapes: B rows, E experts, T tasks, F values a row (all places and channels of a signal in one axis)."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: MMoE, begin: int
    ) -> None:
        super().__init__()
        self.bottom = stages[:begin]
        self.experts = nn.ModuleList(stack(stage, settings.experts) for stage in stages[begin:])
        gate = torch.empty(settings.experts, shapes[begin].width)
        self.gates = nn.ParameterDict({slot(task): nn.init.normal_(gate.clone(), std=0.01) for task in tasks})
        self.count, self.gate_dropout = settings.experts, settings.gate_dropout
        self.shapes: Mapping[str, Sequence[Shape]] = {task: [*shapes[: begin + 1], shapes[-1]] for task in tasks}
        self._gate: Tensor | None = None

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal]
        for stage in self.bottom:
            bottom.append(stage(bottom[-1]))
        signal = bottom[-1]
        logits = self._logits(signal.pooled())
        if self.training and self.gate_dropout:
            dropped = torch.rand_like(logits) < self.gate_dropout
            logits = logits.masked_fill(dropped & ~dropped.all(-1, keepdim=True), float("-inf"))
        gate = torch.softmax(logits, -1)
        self._gate = gate.detach()
        stacked = signal.of(signal.values.unsqueeze(0).expand(self.count, *signal.values.shape))
        for stage in self.experts:
            stacked = stage(stacked)
        values = stacked.values
        if stacked.members != signal.members:  # the experts made an ensemble of the rows: its members are mixed alike
            gate = gate.repeat(stacked.members // signal.members, 1, 1)
        mixed = torch.bmm(gate.to(values.dtype), values.flatten(2).transpose(0, 1))
        mixed = mixed.reshape(*mixed.shape[:2], *values.shape[2:])
        return {task: [*bottom, stacked.of(one)] for task, one in zip(self.shapes, mixed.unbind(1), strict=True)}

    def _logits(self, pooled: Tensor) -> Tensor:
        """[B, T, E]: all gates in one product, while each task keeps a gate of its own that only its loss reaches."""
        weight = torch.cat([self.gates[slot(task)] for task in self.shapes])
        return nn.functional.linear(pooled, weight).reshape(len(pooled), len(self.gates), self.count)

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per task: entropy of the mean gate over log E. 1 is even use of all experts, 0 is one expert for every row."""
        if self._gate is None or self.count == 1:
            return {}
        mean = self._gate.float().mean(0)
        entropy = -(mean * mean.clamp_min(1e-12).log()).sum(-1) / torch.log(torch.tensor(float(self.count)))
        return {f"expert_entropy/{task}": float(value) for task, value in zip(self.shapes, entropy, strict=True)}
