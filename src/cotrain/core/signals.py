"""Signal: what flows between encoder, sharing and heads.

Layouts and their shapes (B rows, D width, S steps, H x W places):
    vector    values [B, D]
    sequence  values [B, S, D], mask [B, S] (True where a step is real) or None
    map       values [B, D, H, W], mask [B, H, W] or None
A stacked signal carries E copies on one more leading axis: values [E, B, ...]; its mask has no such axis.

An ensemble inside one network carries M members on the row axis, member by member: values [M * B, ...], row b of member m at m * B + b.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import ConfigError

Layout = Literal["vector", "sequence", "map"]


@dataclass(frozen=True, slots=True)
class Signal:
    """Values with their layout and, for sequences and maps, the mask of what is real; `members` copies of every row, one after the other."""

    values: Tensor
    layout: Layout = "vector"
    mask: Tensor | None = None
    members: int = 1

    def of(self, values: Tensor) -> Signal:
        """The same layout and members with other values, [B, ...] or stacked [E, B, ...].

        Where they are coarser (a strided convolution, pooling), the mask follows: a place is real if any it came from is.
        """
        mask = self.mask
        if mask is not None:
            places = values.shape[-2:-1] if self.layout == "sequence" else values.shape[-2:]
            if mask.shape[1:] != places:
                pool = F.adaptive_max_pool1d if self.layout == "sequence" else F.adaptive_max_pool2d
                mask = pool(mask.float().unsqueeze(1), places).squeeze(1) > 0
        return replace(self, values=values, mask=mask)

    def pooled(self) -> Tensor:
        """[B, D] (stacked: [E, B, D]): the mean over real steps or places; a row with none of them gives zeros.

        >>> line = Signal(torch.tensor([[[1.0], [3.0], [9.0]]]), "sequence", torch.tensor([[True, True, False]]))
        >>> line.pooled().tolist()
        [[2.0]]
        """
        if self.layout == "vector":
            return self.values
        axes = (-2,) if self.layout == "sequence" else (-2, -1)
        if self.mask is None:
            return self.values.mean(axes)
        mask = self.mask.unsqueeze(-1) if self.layout == "sequence" else self.mask.unsqueeze(-3)
        count = mask.sum(axes).clamp_min(1)
        return torch.where(mask, self.values, self.values.new_zeros(())).sum(axes) / count


def as_signal(values: Tensor | Signal) -> Signal:
    """What a plain network answers, as a signal by its number of axes; a signal stays one. Raises ConfigError for anything else.

    >>> as_signal(torch.zeros(2, 8, 4, 4)).layout
    'map'
    """
    if isinstance(values, Signal):
        return values
    layouts: dict[int, Layout] = {2: "vector", 3: "sequence", 4: "map"}
    if not isinstance(values, Tensor) or values.dim() not in layouts:
        came = (
            f"a tensor of shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        )
        raise ConfigError(
            f"a network must answer [B, D], [B, S, D] or [B, D, H, W], got {came}; wrap it in a module that answers its features"
        )
    return Signal(values, layouts[values.dim()])


@dataclass(frozen=True, slots=True)
class Shape:
    """What a signal looks like after a stage: its layout, its width D, how much coarser than the input it is, members of an ensemble."""

    layout: Layout
    width: int
    stride: int = 1
    members: int = 1

    @staticmethod
    def of(signal: Signal, stride: int = 1) -> Shape:
        """The shape of a signal that was seen."""
        width = signal.values.shape[-3 if signal.layout == "map" else -1]
        return Shape(signal.layout, width, stride, signal.members)


TaskSignals = Mapping[str, list[Signal]]
"""What a sharing answers: for each task its signal after every stage, the last one last."""
