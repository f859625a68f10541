"""A head that also sees what the network was given: a linear path beside the deep one (Cheng et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import Wants
from cotrain.heads.linear import check_dropout, last_layer


@dataclass(frozen=True, kw_only=True)
class WideDeepHead:
    """y = W pool(z_last) + b + V pool(z_first): the linear head on the last signal, and one on the encoder's embedding.

    Over embedded columns the second term is an additive model, one function a column; each task has its own, whatever the trunk is busy
    with, and it carries straight lines on beyond the training rows. V begins at 0, so that training starts from the plain head.
    dropout: chance that a feature of z_last is left out while training, in [0, 1); the wide path has none.

    Source: H.-T. Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016, equation 3; here both paths have one optimiser.
    """

    name: ClassVar[str] = "wide_deep"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_dropout("wide_deep", self.dropout)

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        return TwoPaths(shapes[0], shapes[-1], outputs, self.dropout)


class TwoPaths(nn.Module):
    """Rows and outputs are those of every member in turn where the last signal holds an ensemble; all members have the same wide path."""

    wants: Wants = "vector"

    def __init__(self, first: Shape, last: Shape, outputs: int, dropout: float) -> None:
        super().__init__()
        self.deep = nn.Sequential(nn.Dropout(dropout), last_layer(last, last.width, outputs))
        self.wide = nn.Linear(first.width, outputs, bias=False)
        nn.init.zeros_(self.wide.weight)

    def forward(self, signals: Sequence[Signal], target: Field | None = None) -> Tensor:
        deep: Tensor = self.deep(signals[-1].pooled())
        wide: Tensor = self.wide(signals[0].pooled())
        return deep + wide.repeat(len(deep) // len(wide), 1)

    def generate(self, signals: Sequence[Signal]) -> Tensor:
        return self.forward(signals)
