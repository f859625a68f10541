"""Multi-gate mixture of experts (Ma et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from torch import Tensor, nn

from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.core.stacked import spread, stack
from cotrain.sharing.copies import first_copied, run, whole_number
from cotrain.sharing.gates import Gate, check_chance, mixtures, usage_of, weights_of


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
        whole_number("mmoe.experts", self.experts)
        check_chance("mmoe.gate_dropout", self.gate_dropout)

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> MMoESharing:
        return MMoESharing(stages, shapes, tasks, self, first_copied("mmoe", self.split, stages))


class MMoESharing(nn.Module):
    """Shared stages, experts in one stacked product, and for each task a gate of its own that only its loss reaches."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: MMoE, begin: int
    ) -> None:
        super().__init__()
        self.bottom = stages[:begin]
        self.experts = nn.ModuleList(stack(stage, settings.experts) for stage in stages[begin:])
        width, dropout = shapes[begin].width, settings.gate_dropout
        self.gates = nn.ModuleDict({slot(task): Gate(width, settings.experts, dropout) for task in tasks})
        self.count = settings.experts
        self.shapes: Mapping[str, Sequence[Shape]] = {task: [*shapes[: begin + 1], shapes[-1]] for task in tasks}

    def gate(self, task: str) -> Gate:
        """The gate of a task."""
        return cast(Gate, self.gates[slot(task)])

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        signal = bottom[-1]
        experts = run(self.experts, spread(signal, self.count, self.experts[0]))[-1]
        gates = {task: self.gate(task) for task in self.shapes}
        found = mixtures(weights_of(gates, dict.fromkeys(gates, signal)), experts.values)
        return {task: [*bottom, experts.of(values)] for task, values in found.items()}

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per task: entropy of the mean gate over log E (1 is even use of all experts, 0 is one expert for every row), and each expert's share."""
        return usage_of({task: self.gate(task).last for task in self.shapes})
