"""How a head makes one vector of a signal: mean, maximum, attention, or a grid that keeps where things are.

Shapes: B rows, D width, S steps or places, k cells a side. A vector signal is its own pooling, whatever is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError, unknown
from cotrain.core.signals import Shape, Signal

Pool = Literal["mean", "max", "attention", "grid"]
POOLS: tuple[str, ...] = get_args(Pool)


def check_pooling(head: str, pool: str, cells: int) -> None:
    """Raises ConfigError for a pooling that is not known, or a grid without cells."""
    if pool not in POOLS:
        raise ConfigError(unknown(f"{head}.pool of a head", str(pool), POOLS))
    if not isinstance(cells, int) or isinstance(cells, bool) or cells < 1:
        raise ConfigError(f"{head}.cells of a head must be a whole number of at least 1, got {cells!r}")


class Pooling(nn.Module):
    """The task's signals as one vector a row, [B, width]; [M * B, width] with M members of an ensemble.

    pool: mean | max | attention | grid, of the last signal. per_stage: of every stage's signal, side by side, the embedding first.
    cells: k of the grid. width: of what it answers.
    Raises ConfigError for a grid over a sequence, whose steps lie on no plane.

    >>> line = Signal(torch.tensor([[[1.0], [3.0], [9.0]]]), "sequence", torch.tensor([[True, True, False]]))
    >>> Pooling([Shape("sequence", 1)], "max")([line]).tolist()
    [[3.0]]
    """

    def __init__(self, shapes: Sequence[Shape], pool: str = "mean", *, cells: int = 4, per_stage: bool = False) -> None:
        super().__init__()
        used = list(shapes) if per_stage else [shapes[-1]]
        self.per_stage, self.members = per_stage, shapes[-1].members
        self.poolers = nn.ModuleList(pooler(shape, pool, cells) for shape in used)
        self.width = sum(shape.width * (cells**2 if _on_grid(shape, pool) else 1) for shape in used)

    def forward(self, signals: Sequence[Signal]) -> Tensor:
        if not self.per_stage:
            last: Tensor = self.poolers[0](signals[-1])
            return last
        pooled = [layer(signal) for layer, signal in zip(self.poolers, signals, strict=True)]
        # stages before an ensemble hold each row once
        copies = [self.members // signal.members for signal in signals]
        return torch.cat([one.repeat(times, 1) for one, times in zip(pooled, copies, strict=True)], 1)


def pooler(shape: Shape, pool: str, cells: int) -> nn.Module:
    """The module Signal -> [B, width] for one signal of this shape."""
    if shape.layout == "vector" or pool == "mean":
        return Mean()
    if pool == "max":
        return Max()
    if pool == "attention":
        return Attention(shape.width)
    if shape.layout == "sequence":
        raise ConfigError(
            "a head's pool: grid needs a map (the features of a picture), but here the signal is a sequence; "
            "use pool: attention, mean or max"
        )
    return Grid(cells)


def _on_grid(shape: Shape, pool: str) -> bool:
    return pool == "grid" and shape.layout == "map"


class Mean(nn.Module):
    """The mean over real steps or places; zeros where there is none."""

    def forward(self, signal: Signal) -> Tensor:
        return signal.pooled()


class Max(nn.Module):
    """The largest value of each feature over real steps or places; zeros where there is none."""

    def forward(self, signal: Signal) -> Tensor:
        values, real = places(signal)
        if real is None:
            return values.amax(1)
        real = real.unsqueeze(-1)
        top = torch.where(real, values, torch.finfo(values.dtype).min).amax(1)
        return torch.where(real.any(1), top, top.new_zeros(()))


class Attention(nn.Module):
    """sum_s a_s z_s with a = softmax over real places of u . tanh(W z_s + b); zeros where no place is real.

    u begins at 0, so that training starts from the mean.

    Source: Z. Yang et al., Hierarchical Attention Networks for Document Classification, NAACL 2016, equations 5 to 7; there u is drawn.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.context = nn.Parameter(torch.zeros(width))

    def forward(self, signal: Signal) -> Tensor:
        values, real = places(signal)
        score = torch.tanh(self.hidden(values)) @ self.context
        if real is not None:
            score = torch.where(real, score, torch.finfo(score.dtype).min)
        share = score.softmax(1)
        if real is not None:
            share = torch.where(real, share, share.new_zeros(()))
            values = torch.where(real.unsqueeze(-1), values, values.new_zeros(()))
        return torch.einsum("bs,bsd->bd", share, values)


class Grid(nn.Module):
    """The map's mean in each of k x k cells, side by side: [B, D, H, W] -> [B, D k k]. What is lost is only where within a cell.

    Cells are those of `adaptive_avg_pool2d`: of any map, rows i H / k to (i + 1) H / k, rounded outwards. Over masked places a cell's mean is that
    of its real ones, 0 without any.

    >>> Grid(2)(Signal(torch.arange(16.0).reshape(1, 1, 4, 4), "map")).tolist()
    [[2.5, 4.5, 10.5, 12.5]]
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, signal: Signal) -> Tensor:
        if signal.mask is None:
            return F.adaptive_avg_pool2d(signal.values, self.cells).flatten(1)
        real = signal.mask.unsqueeze(1)
        values = torch.where(real, signal.values, signal.values.new_zeros(()))
        share = F.adaptive_avg_pool2d(real.to(values.dtype), self.cells)
        total = F.adaptive_avg_pool2d(values, self.cells)
        return torch.where(share > 0, total / share.clamp_min(1e-12), total).flatten(1)


def places(signal: Signal) -> tuple[Tensor, Tensor | None]:
    """([B, S, D] values, [B, S] which are real) of a sequence, or of a map whose places stand in a row."""
    if signal.layout == "sequence":
        return signal.values, signal.mask
    mask = None if signal.mask is None else signal.mask.flatten(1)
    return signal.values.flatten(2).transpose(1, 2), mask
