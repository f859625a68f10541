"""Hard parameter sharing: one trunk for all tasks, up to a stage of choice (Caruana 1997)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from torch import Tensor, nn

from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, per_task, run


@dataclass(frozen=True, kw_only=True)
class Hard:
    """h = f(z) for every task alike; or, with a split point, h_k = f_k(f(z)): stages from `split` on belong to one task each.

    split: the first stage that every task has a copy of (None: the whole trunk is shared, only the heads differ; 0: only what comes
    before the stages is shared; -1: the last stage is the task's own). Copies begin as the trunk's stages stand, so that a pretrained
    trunk keeps what it knows.

    Source: R. Caruana, Multitask Learning, Machine Learning 28, 1997.

    >>> encoder = nn.ModuleList([nn.Identity(), nn.Identity()])
    >>> len(Hard(split=1).build(encoder, [Shape("vector", 4)] * 3, ["a", "b"]).own)
    2
    """

    name: ClassVar[str] = "hard"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = (
        "one trunk, whatever the number of tasks; with `split`, a copy a task of the stages from there on"
    )
    source: ClassVar[str] = "R. Caruana, Multitask Learning, Machine Learning 28, 1997"
    apart: ClassVar[bool] = False
    split: int | None = None

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> HardSharing:
        begin = len(stages) if self.split is None else first_copied("hard", self.split, stages)
        return HardSharing(stages, shapes, tasks, begin)


class HardSharing(nn.Module):
    """Runs the shared stages once; hands the same signals to every task, or each task's own stages the last of them."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], begin: int | None = None
    ) -> None:
        super().__init__()
        begin = len(stages) if begin is None else begin
        self.stages = stages[:begin]
        self.own = per_task(stages[begin:], tasks if begin < len(stages) else ())
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        shared = [signal, *run(self.stages, signal)]
        if not len(self.own):
            return dict.fromkeys(self.shapes, shared)
        return {task: [*shared, *run(self._own(task), shared[-1])] for task in self.shapes}

    def _own(self, task: str) -> nn.ModuleList:
        return cast(nn.ModuleList, self.own[slot(task)])

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        return {}
