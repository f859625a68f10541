"""MTAN: a mask of attention for each task on every stage of a shared trunk (Liu et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.sharing.copies import first_copied, run
from cotrain.sharing.pointwise import ChannelNorm, Pointwise, fitted


@dataclass(frozen=True, kw_only=True)
class MTAN:
    """a^_k^l = a_k^l * p^l, with a_k^l = sigmoid(h_k(relu(g_k([p^l ; f^l(a^_k^(l-1))])))): task k's part of what stage l answers.

    p^l: the shared trunk's signal after stage l, run once for all tasks; a_k^l in (0, 1): the mask, a number a channel and place.
    g_k, h_k: linear over channels (1 x 1 convolutions on maps) with a norm, a task's own. f^l: shared by the tasks, takes what the task
    kept of the stage before to this stage's width (linear over channels, norm, relu), then to its places (the largest of them where the
    stage is coarser). At the first masked stage there is nothing before: a = sigmoid(h(relu(g(p)))).
    split: the first stage with masks (0: all of them). Masks begin near 1/2, so features begin at about half those of hard sharing.

    Differs from the paper: there a block of convolutions gives two signals, u in the middle for the mask and p at its end; stages of any
    kind have only an end, so p serves for both. Norms are layer norms over channels where the paper has batch norms, so that rows do not
    mix and places that are not real stay out; f is linear over channels where the paper has a 3 x 3 convolution.

    Source: S. Liu, E. Johns, A. Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019, section 3.2, equation 2.
    """

    name: ClassVar[str] = "mtan"
    family: ClassVar[str] = "features"
    cost: ClassVar[str] = "one trunk; a task and stage: two to four small products over channels"
    source: ClassVar[str] = "S. Liu, E. Johns, A. Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019"
    apart: ClassVar[bool] = False
    split: int = 0

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> MTANSharing:
        return MTANSharing(stages, shapes, tasks, first_copied("mtan", self.split, stages))


class Mask(nn.Module):
    """a = sigmoid(norm(h(relu(norm(g(x)))))), x the shared signal, beside what the task kept before (None at the first stage)."""

    def __init__(self, shape: Shape, inputs: int) -> None:
        super().__init__()
        layout, width = shape.layout, shape.width
        self.g, self.g_norm = Pointwise(layout, inputs, width), ChannelNorm(layout, width)
        self.h, self.h_norm = Pointwise(layout, width, width), ChannelNorm(layout, width)

    def forward(self, shared: Signal, before: Tensor | None) -> Tensor:
        values = shared.values
        if before is not None:
            values = torch.cat([values, before], 1 if shared.layout == "map" else -1)
        hidden = torch.relu(self.g_norm(self.g(values)))
        return torch.sigmoid(self.h_norm(self.h(hidden)))


class Carry(nn.Module):
    """f^l: from what a task kept of one stage to the width and places of the next. Layouts that differ carry nothing."""

    def __init__(self, before: Shape, after: Shape) -> None:
        super().__init__()
        self.linear = Pointwise(after.layout, before.width, after.width)
        self.norm = ChannelNorm(after.layout, after.width)

    def forward(self, kept: Signal, shared: Signal) -> Tensor:
        return fitted(torch.relu(self.norm(self.linear(kept.values))), shared)


class MTANSharing(nn.Module):
    """The trunk once, then masks task by task."""

    def __init__(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], begin: int) -> None:
        super().__init__()
        self.bottom, self.stages = stages[:begin], stages[begin:]
        before, after = shapes[begin + 1 : -1], shapes[begin + 2 :]
        same = [one.layout == other.layout for one, other in zip(before, after, strict=True)]
        self.carries = nn.ModuleList(
            Carry(one, other) if alike else nn.Identity() for one, other, alike in zip(before, after, same, strict=True)
        )
        inputs = [
            shape.width * (2 if alike else 1) for shape, alike in zip(shapes[begin + 1 :], [False, *same], strict=True)
        ]
        self.masks = nn.ModuleDict(
            {
                slot(task): nn.ModuleList(
                    Mask(shape, wide) for shape, wide in zip(shapes[begin + 1 :], inputs, strict=True)
                )
                for task in tasks
            }
        )
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}
        self._mean: dict[str, Tensor] = {}

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        trunk = run(self.stages, bottom[-1])
        return {task: [*bottom, *self._kept(task, trunk)] for task in self.shapes}

    def _kept(self, task: str, trunk: Sequence[Signal]) -> list[Signal]:
        kept: list[Signal] = []
        for at, (shared, mask) in enumerate(zip(trunk, cast(nn.ModuleList, self.masks[slot(task)]), strict=True)):
            carry = self.carries[at - 1] if at else None
            before = carry(kept[-1], shared) if isinstance(carry, Carry) else None
            attention = mask(shared, before)
            kept.append(shared.of(attention * shared.values))
        self._mean[task] = attention.detach()
        return kept

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per task: the mean of its mask on the last stage, of the last forward; 1 keeps everything."""
        return {f"mask/{task}": float(mask.float().mean()) for task, mask in self._mean.items()}
