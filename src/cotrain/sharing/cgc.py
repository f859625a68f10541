"""Customized gate control: experts of all tasks beside experts of each task (Tang et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, run, whole_number
from cotrain.sharing.extraction import LastExtraction
from cotrain.sharing.gates import check_chance, usage_of


@dataclass(frozen=True, kw_only=True)
class CGC:
    """h_k = sum_e g_k(z)_e s_k(z)_e, with g_k(z) = softmax(W_k pool(z)) over s_k(z) = [own experts of task k ; shared experts].

    z: the signal before the experts. Every expert is a copy of the stages from `split` on; a task reads its own experts and the shared
    ones, never those of another task.
    shared: shared experts. own: experts of each task (1 and 1, the smallest the paper draws, as in public re-implementations).
    split: the stage at which experts begin (0: experts read the encoder's embedding, as in the paper; -1: only the last stage is copied).
    gate_dropout: chance that an expert is left out for a row while training. Copies draw initial values of their own; gates begin near
    uniform (weights N(0, 0.01^2)).

    Source: H. Tang et al., Progressive Layered Extraction, RecSys 2020, section 4.1, equations 1-3.
    """

    name: ClassVar[str] = "cgc"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = "`shared` + tasks x `own` copies of the stages from `split` on"
    source: ClassVar[str] = "H. Tang et al., Progressive Layered Extraction, RecSys 2020"
    apart: ClassVar[bool] = False
    shared: int = 1
    own: int = 1
    split: int = -1
    gate_dropout: float = 0.0

    def __post_init__(self) -> None:
        whole_number("cgc.shared", self.shared)
        whole_number("cgc.own", self.own)
        check_chance("cgc.gate_dropout", self.gate_dropout)

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> CGCSharing:
        return CGCSharing(stages, shapes, tasks, self, first_copied("cgc", self.split, stages))


class CGCSharing(nn.Module):
    """Shared stages, then one extraction network. A task's own experts and gate are reached by its loss alone."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: CGC, begin: int
    ) -> None:
        super().__init__()
        self.bottom = stages[:begin]
        self.extraction = LastExtraction(
            stages[begin:], shapes[begin].width, tasks, settings.own, settings.shared, settings.gate_dropout
        )
        self.shapes: Mapping[str, Sequence[Shape]] = {task: [*shapes[: begin + 1], shapes[-1]] for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        found = self.extraction(dict.fromkeys(self.shapes, bottom[-1]), bottom[-1])
        return {task: [*bottom, one] for task, one in found.items()}

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per task: entropy of the mean gate over the log of the experts it reads (1 is even use, 0 is one expert for every row), and each
        one's share, the task's own experts first.
        """
        return usage_of({name: gate.last for name, gate in self.extraction.named_gates().items()})
