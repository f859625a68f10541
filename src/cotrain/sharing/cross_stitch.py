"""Cross-stitch networks: a trunk a task, mixed linearly after every stage (Misra et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.core.stacked import spread, stack
from cotrain.sharing.copies import first_copied, run

Per = Literal["channel", "stage"]


@dataclass(frozen=True, kw_only=True)
class CrossStitch:
    """x~_k = sum_j a_kj * x_j after every stage, where x_j is what trunk j answers: T trunks, stitched.

    a_kj: how much task k reads of trunk j; one number a channel (per: channel) or one a stage (per: stage).
    own: a_kk at the start; the other trunks share 1 - own, so that every row sums to 1 (0.9, and 0.1 for the other of two tasks: the
    paper's best). rate: a_kj = its start + rate x a parameter that begins at 0, so that units move `rate` times as far as other parameters
    under adamw (rate^2 times under sgd). The paper gives units, under SGD, 100 to 1000 times the learning rate of the layers, since their
    gradients are small there; adamw takes such differences out by itself, hence 1.
    split: the first stage that is copied (0: all of them). Trunks begin as the stages stand, all alike, so that at the start the network is
    that of hard sharing; stitches tell them apart. With weight decay units are drawn to their start.

    Source: I. Misra et al., Cross-stitch Networks for Multi-task Learning, CVPR 2016, equation 1; for more than two tasks the natural
    extension. Start and rates as remembered from its sections 3.3 and 5.
    """

    name: ClassVar[str] = "cross_stitch"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = "a copy a task of the stages from `split` on, in batched products"
    source: ClassVar[str] = "I. Misra et al., Cross-stitch Networks for Multi-task Learning, CVPR 2016"
    apart: ClassVar[bool] = False
    own: float = 0.9
    per: Per = "channel"
    rate: float = 1.0
    split: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.own <= 1:
            raise ConfigError(f"cross_stitch.own must lie in [0, 1], got {self.own}")
        if self.per not in ("channel", "stage"):
            raise ConfigError(f"cross_stitch.per must be channel or stage, got {self.per!r}")
        if not 0 < self.rate < float("inf"):
            raise ConfigError(f"cross_stitch.rate must be a number above 0, got {self.rate}")

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> CrossStitchSharing:
        return CrossStitchSharing(stages, shapes, tasks, self, first_copied("cross_stitch", self.split, stages))


class Stitch(nn.Module):
    """The rows a_k of one unit: for each task [T], or [T, D] with one number a channel."""

    def __init__(self, tasks: Sequence[str], width: int, settings: CrossStitch) -> None:
        super().__init__()
        count = len(tasks)
        self.places = {task: at for at, task in enumerate(tasks)}
        self.own, self.rate = (settings.own, settings.rate) if count > 1 else (1.0, settings.rate)
        self.moved = nn.ParameterDict(
            {
                slot(task): torch.zeros(count, width) if settings.per == "channel" else torch.zeros(count)
                for task in tasks
            }
        )

    def row(self, task: str) -> Tensor:
        """a_k of a task, [T, D] or [T, 1]."""
        moved = self.moved[slot(task)]
        start = torch.full_like(moved, (1 - self.own) / max(len(moved) - 1, 1))
        start[self.places[task]] = self.own
        row: Tensor = start + self.rate * moved
        return row if row.dim() == 2 else row.unsqueeze(1)


def stitched(row: Tensor, trunks: Signal) -> Tensor:
    """sum_j a_j * x_j. row [T, D] or [T, 1]; trunks stacked, [T, B, ...] -> [B, ...]."""
    values = trunks.values
    if row.shape[1] == 1:
        return (row.t().to(values.dtype) @ values.flatten(1)).reshape(values.shape[1:])
    places = (1,) * (values.dim() - 3)
    factor = row.reshape(len(row), 1, -1, *places) if trunks.layout == "map" else row.reshape(len(row), 1, *places, -1)
    return (factor.to(values.dtype) * values).sum(0)


class CrossStitchSharing(nn.Module):
    """All trunks in one stacked product a stage. Rows of the last unit are reached by their task's loss alone."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: CrossStitch, begin: int
    ) -> None:
        super().__init__()
        self.bottom = stages[:begin]
        self.trunks = nn.ModuleList(stack(stage, len(tasks), alike=True) for stage in stages[begin:])
        self.stitches = nn.ModuleList(Stitch(tasks, shape.width, settings) for shape in shapes[begin + 1 :])
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        answer = {task: list(bottom) for task in self.shapes}
        trunks = spread(bottom[-1], len(answer), self.trunks[0])
        for stage, stitch in zip(self.trunks, self.stitches, strict=True):
            trunks = stage(trunks)
            for task, signals in answer.items():
                signals.append(trunks.of(stitched(cast(Stitch, stitch).row(task), trunks)))
            trunks = trunks.of(torch.stack([signals[-1].values for signals in answer.values()]))
        return answer

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per task: how much of what it reads at the last unit is its own trunk's, |a_kk| / sum_j |a_kj|, mean over channels."""
        with torch.no_grad():
            rows = {task: cast(Stitch, self.stitches[-1]).row(task).abs() for task in self.shapes}
        shares = [row / row.sum(0).clamp_min(1e-12) for row in rows.values()]
        return {f"own_share/{task}": float(shares[at][at].mean()) for at, task in enumerate(rows)}
