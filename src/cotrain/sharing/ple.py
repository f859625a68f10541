"""Progressive layered extraction: extraction networks one above the other (Tang et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, run, whole_number
from cotrain.sharing.extraction import InnerExtraction, LastExtraction
from cotrain.sharing.gates import check_chance, usage_of


@dataclass(frozen=True, kw_only=True)
class PLE:
    """Every one of the last `levels` stages is an extraction network: experts of each task, shared ones, and gates between them.

    h_k^j = sum_e softmax(W_k^j pool(h_k^(j-1)))_e [E_k^j(h_k^(j-1)) ; E_s^j(h_s^(j-1))]_e
    h_s^j = sum_e softmax(W_s^j pool(h_s^(j-1)))_e [E_1^j(h_1^(j-1)) ; ... ; E_T^j(h_T^(j-1)) ; E_s^j(h_s^(j-1))]_e      (not at the last level)

    E_k^j: the own experts of task k at level j; E_s^j: the shared ones; all are copies of stage j. h^0: the signal before the levels.
    levels: how many of the encoder's last stages (2, as in public re-implementations; 1 is `cgc` on the last stage).
    shared, own: shared experts, and experts of each task, at every level (1 and 1). gate_dropout: chance that an expert is left out for a
    row while training. Copies draw initial values of their own; gates begin near uniform (weights N(0, 0.01^2)).

    Source: H. Tang et al., Progressive Layered Extraction, RecSys 2020, section 4.2, equations 5-6. The paper gives the shared gate no
    place at the last level, nor does this.
    """

    name: ClassVar[str] = "ple"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = "`shared` + tasks x `own` copies of each of the last `levels` stages"
    source: ClassVar[str] = "H. Tang et al., Progressive Layered Extraction, RecSys 2020"
    apart: ClassVar[bool] = False
    levels: int = 2
    shared: int = 1
    own: int = 1
    gate_dropout: float = 0.0

    def __post_init__(self) -> None:
        for key in ("levels", "shared", "own"):
            whole_number(f"ple.{key}", getattr(self, key))
        check_chance("ple.gate_dropout", self.gate_dropout)

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> PLESharing:
        return PLESharing(stages, shapes, tasks, self, len(stages) - levels_of(self.levels, stages))


def levels_of(levels: int, stages: nn.ModuleList) -> int:
    """The levels, if the encoder has so many stages. Raises ConfigError otherwise."""
    first_copied("ple", -1, stages)
    if levels > len(stages):
        raise ConfigError(
            f"ple.levels is {levels}, but the encoder has {len(stages)} stages to copy; use at most {len(stages)} levels, or give the encoder more stages"
        )
    return levels


class PLESharing(nn.Module):
    """Shared stages, inner extraction networks, and the last one."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: PLE, begin: int
    ) -> None:
        super().__init__()
        self.bottom = stages[:begin]
        counts = (settings.own, settings.shared, settings.gate_dropout)
        inner = range(begin, len(stages) - 1)
        self.inner = nn.ModuleList(InnerExtraction([stages[at]], shapes[at].width, tasks, *counts) for at in inner)
        self.last = LastExtraction([stages[-1]], shapes[-2].width, tasks, *counts)
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        shared = bottom[-1]
        found = dict.fromkeys(self.shapes, shared)
        answer = {task: list(bottom) for task in self.shapes}
        for level in self.inner:
            found, shared = level(found, shared)
            for task, one in found.items():
                answer[task].append(one)
        for task, one in self.last(found, shared).items():
            answer[task].append(one)
        return answer

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per task and level: entropy of the mean gate over the log of the experts it reads; 1 is even use, 0 is one expert alone; and each
        one's share, own experts first.
        """
        levels = [cast(InnerExtraction, one).named_gates() for one in self.inner] + [self.last.named_gates()]
        return usage_of(
            {f"level {at}/{name}": gate.last for at, one in enumerate(levels, 1) for name, gate in one.items()}
        )
