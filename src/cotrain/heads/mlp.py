"""A head with hidden layers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from cotrain.core.signals import Shape
from cotrain.heads.linear import PooledHead


@dataclass(frozen=True, kw_only=True)
class MLPHead:
    """Pool the last signal, then hidden layers of `widths` (ReLU, dropout), then a linear layer."""

    name: ClassVar[str] = "mlp"
    widths: Sequence[int] = (64,)
    dropout: float = 0.0

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        layers: list[nn.Module] = []
        width = shapes[-1].width
        for wide in self.widths:
            layers += [nn.Linear(width, wide), nn.ReLU(), nn.Dropout(self.dropout)]
            width = wide
        return PooledHead(nn.Sequential(*layers, nn.Linear(width, outputs)))
