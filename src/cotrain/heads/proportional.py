"""A head of one score and constants: the proportional-odds form of ordered classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import Head, HeadSettings, Wants
from cotrain.core.widths import layer_widths
from cotrain.heads.linear import LinearHead, check_dropout
from cotrain.heads.mlp import MLPHead


@dataclass(frozen=True, kw_only=True)
class ProportionalHead:
    """y = (s, c_2 ... c_C): a score s of the pooled signal, and outputs that are the same for every row; [B, D] -> [B, outputs].

    For a task of ordered classes the constants are the thresholds' gaps: every threshold is moved by the same score, so that the odds
    of "at least class c" grow by the same factor for all c (proportional odds). The score is linear in the pooled features, or has
    hidden layers of `widths` before it. dropout: before the score (after each ReLU where there are widths), in [0, 1).

    Source: P. McCullagh, Regression Models for Ordinal Data, Journal of the Royal Statistical Society B 42, 1980.
    """

    name: ClassVar[str] = "proportional"
    widths: Sequence[int] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", layer_widths("proportional.widths of a head", self.widths))
        check_dropout("proportional", self.dropout)

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        deep, plain = MLPHead(widths=self.widths, dropout=self.dropout), LinearHead(dropout=self.dropout)
        return ProportionalFrom(deep if self.widths else plain).build(shapes, outputs)


@dataclass(frozen=True)
class ProportionalFrom:
    """The same form around any other head, which gives the score."""

    score: HeadSettings

    name: ClassVar[str] = "proportional_from"

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        return ScoreAndConstants(self.score.build(shapes, 1), outputs - 1, gain=math.sqrt(shapes[-1].width))


class ScoreAndConstants(nn.Module):
    """A head of one output, and constants beside it: [B, 1] -> [B, 1 + constants]. The constants begin at 0.

    gain: a constant is gain x its parameter. Each step of Adam moves a parameter by about the learning rate, and a score by that of all the weights
    behind it; with the square root of their number the constants keep up.
    """

    wants: Wants

    def __init__(self, score: nn.Module, constants: int, gain: float = 1.0) -> None:
        super().__init__()
        self.wants = cast(Head, score).wants
        self.score = score
        self.gain = gain
        self.constants = nn.Parameter(torch.zeros(constants))

    def forward(self, signals: Sequence[Signal], target: Field | None = None) -> Tensor:
        return self._beside(self.score(signals, target))

    def generate(self, signals: Sequence[Signal]) -> Tensor:
        return self._beside(cast(Head, self.score).generate(signals))

    def _beside(self, score: Tensor) -> Tensor:
        return torch.cat([score, (self.gain * self.constants).expand(len(score), -1).to(score.dtype)], 1)
