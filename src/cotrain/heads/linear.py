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


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """y = W pool(z) + b of the last signal, [B, D] -> [B, outputs].

    dropout: chance that a pooled feature is left out while training, in [0, 1).
    """

    name: ClassVar[str] = "linear"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_dropout("linear", self.dropout)

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        return PooledHead(nn.Sequential(nn.Dropout(self.dropout), nn.Linear(shapes[-1].width, outputs)))


def check_dropout(head: str, dropout: float) -> None:
    """Raises ConfigError unless 0 <= dropout < 1."""
    if not 0 <= dropout < 1:
        raise ConfigError(f"{head}.dropout of a head must lie in [0, 1), got {dropout}")


class PooledHead(nn.Module):
    """Pools the last signal into a vector [B, D] and maps it with any module on tensors: [B, D] -> [B, outputs]."""

    wants: Wants = "vector"

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, signals: Sequence[Signal], target: Field | None = None) -> Tensor:
        out: Tensor = self.layers(signals[-1].pooled())
        return out

    def generate(self, signals: Sequence[Signal]) -> Tensor:
        return self.forward(signals)
