"""The plain head: pool, then one linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import Wants
from cotrain.core.stacked import StackedLinear
from cotrain.heads.pooling import Pool, Pooling, check_pooling


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """y = W pool(z) + b of the last signal, [B, D] -> [B, outputs]; each member of an ensemble has its own W and b.

    dropout: chance that a pooled feature is left out while training, in [0, 1).
    pool: what makes a vector of a sequence or a map: mean, max, attention (learnt shares of the steps or places), or grid (of a map: its
    means in cells x cells parts, which keeps where things are). per_stage: pool the signal of every stage and set them side by side.
    """

    name: ClassVar[str] = "linear"
    dropout: float = 0.0
    pool: Pool = "mean"
    cells: int = 4
    per_stage: bool = False

    def __post_init__(self) -> None:
        check_dropout("linear", self.dropout)
        check_pooling("linear", self.pool, self.cells)

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        pooling = Pooling(shapes, self.pool, cells=self.cells, per_stage=self.per_stage)
        layers = nn.Sequential(nn.Dropout(self.dropout), last_layer(shapes[-1], pooling.width, outputs))
        return PooledHead(layers, pooling)


def plain_head(encoder: object) -> LinearHead:
    """The linear head for an encoder's features, pooled as its settings say (`head_pool`), else by the mean; with several, {source: settings}, where all agree."""
    encoders = encoder.values() if isinstance(encoder, Mapping) else [encoder]
    pools: set[Pool] = {getattr(one, "head_pool", "mean") for one in encoders}
    return LinearHead(pool=pools.pop() if len(pools) == 1 else "mean")


def last_layer(shape: Shape, width: int, outputs: int) -> nn.Module:
    """A linear layer from `width` numbers to the outputs, or one a member where the signal holds an ensemble."""
    return nn.Linear(width, outputs) if shape.members == 1 else PerMember(shape.members, width, outputs)


class PerMember(nn.Module):
    """Every member's rows through a linear layer of its own: [M * B, i] -> [M * B, o].

    >>> import torch
    >>> layer = PerMember(2, 3, 1)
    >>> rows = layer(torch.ones(2 * 4, 3)).reshape(2, 4)
    >>> bool((rows == rows[:, :1]).all()), bool(rows[0, 0] == rows[1, 0])
    (True, False)
    """

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.members = members
        self.linear = StackedLinear(members, inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x.reshape(self.members, -1, x.shape[-1]))
        return out.flatten(0, 1)


def check_dropout(head: str, dropout: float) -> None:
    """Raises ConfigError unless 0 <= dropout < 1."""
    if not 0 <= dropout < 1:
        raise ConfigError(f"{head}.dropout of a head must lie in [0, 1), got {dropout}")


class PooledHead(nn.Module):
    """Pools the task's signals into a vector [B, D] and maps it with any module on tensors: [B, D] -> [B, outputs].

    pooling: from the signals to [B, D]; the mean of the last one if not given.
    With an ensemble of M members in the signal, rows and outputs are those of every member in turn: [M * B, D] -> [M * B, outputs].
    """

    wants: Wants

    def __init__(self, layers: nn.Module, pooling: Pooling | None = None) -> None:
        super().__init__()
        self.layers = layers
        self.pooling = pooling
        self.wants = "pyramid" if pooling is not None and pooling.per_stage else "vector"

    def forward(self, signals: Sequence[Signal], target: Field | None = None) -> Tensor:
        out: Tensor = self.layers(signals[-1].pooled() if self.pooling is None else self.pooling(signals))
        return out

    def generate(self, signals: Sequence[Signal]) -> Tensor:
        return self.forward(signals)
