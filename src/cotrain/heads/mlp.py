"""A head with hidden layers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from cotrain.core.signals import Shape
from cotrain.core.widths import layer_widths
from cotrain.heads.linear import PooledHead, check_dropout, last_layer


@dataclass(frozen=True, kw_only=True)
class MLPHead:
    """Pool the last signal, then hidden layers of `widths` (linear, ReLU, dropout), then a linear layer: [B, D] -> [B, outputs].

    Members of an ensemble share the hidden layers and have a last layer each.

    widths: whole numbers of at least 1, none for a plain linear head. dropout: after each ReLU, in [0, 1).
    """

    name: ClassVar[str] = "mlp"
    widths: Sequence[int] = (64,)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", layer_widths("mlp.widths of a head", self.widths))
        check_dropout("mlp", self.dropout)

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        layers: list[nn.Module] = []
        width = shapes[-1].width
        for wide in self.widths:
            layers += [nn.Linear(width, wide), nn.ReLU(), nn.Dropout(self.dropout)]
            width = wide
        return PooledHead(nn.Sequential(*layers, last_layer(shapes[-1], width, outputs)))
