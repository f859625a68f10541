"""A head with hidden layers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from cotrain.core.signals import Shape
from cotrain.core.widths import layer_widths
from cotrain.heads.linear import PooledHead, check_dropout, last_layer
from cotrain.heads.pooling import Pool, Pooling, check_pooling


@dataclass(frozen=True, kw_only=True)
class MLPHead:
    """Pool the last signal, then hidden layers of `widths` (linear, ReLU, dropout), then a linear layer: [B, D] -> [B, outputs].

    Members of an ensemble share the hidden layers and have a last layer each.

    widths: whole numbers of at least 1, none for a plain linear head. dropout: after each ReLU, in [0, 1).
    pool, cells, per_stage: how the vector is made, as in the linear head.
    """

    name: ClassVar[str] = "mlp"
    widths: Sequence[int] = (64,)
    dropout: float = 0.0
    pool: Pool = "mean"
    cells: int = 4
    per_stage: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", layer_widths("mlp.widths of a head", self.widths))
        check_dropout("mlp", self.dropout)
        check_pooling("mlp", self.pool, self.cells)

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        layers: list[nn.Module] = []
        pooling = Pooling(shapes, self.pool, cells=self.cells, per_stage=self.per_stage)
        width = pooling.width
        for wide in self.widths:
            layers += [nn.Linear(width, wide), nn.ReLU(), nn.Dropout(self.dropout)]
            width = wide
        return PooledHead(nn.Sequential(*layers, last_layer(shapes[-1], width, outputs)), pooling)
