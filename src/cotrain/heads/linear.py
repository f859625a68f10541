"""The plain head: pool, then one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import Wants
from cotrain.core.stacked import StackedLinear


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """y = W pool(z) + b of the last signal, [B, D] -> [B, outputs]; each member of an ensemble has its own W and b.

    dropout: chance that a pooled feature is left out while training, in [0, 1).
    """

    name: ClassVar[str] = "linear"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_dropout("linear", self.dropout)

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        return PooledHead(nn.Sequential(nn.Dropout(self.dropout), last_layer(shapes[-1], shapes[-1].width, outputs)))


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
    """Pools the last signal into a vector [B, D] and maps it with any module on tensors: [B, D] -> [B, outputs].

    With an ensemble of M members in the signal, rows and outputs are those of every member in turn: [M * B, D] -> [M * B, outputs].
    """

    wants: Wants = "vector"

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, signals: Sequence[Signal], target: Field | None = None) -> Tensor:
        out: Tensor = self.layers(signals[-1].pooled())
        return out

    def generate(self, signals: Sequence[Signal]) -> Tensor:
        return self.forward(signals)
