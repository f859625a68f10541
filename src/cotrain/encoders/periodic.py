"""Numbers as waves of learnt frequencies: periodic embeddings (Gorishniy et al. 2022).

Shapes: B rows, C columns, K frequencies, D width of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.spec import FieldSpec
from cotrain.encoders.layers import check_count
from cotrain.encoders.number_embedding import FEW, NumberEmbedding


@dataclass(frozen=True, kw_only=True)
class Periodic(NumberEmbedding):
    """v_c(x) = ReLU(V_c [cos(2 pi f_c x), sin(2 pi f_c x)] + b_c) with K learnt frequencies f_c of each column, "PLR" in the paper.

    sigma: standard deviation of the initial frequencies N(0, sigma^2), above 0; it matters, tune it between 0.01 and 10 (0.01 in the
    authors' package). frequencies: K (48 there). lite: one V and b for all columns. width: D of a column's vector; null: 24 (less where
    many columns would take more than 2,048 numbers together), or the tokens' width in a transformer. V and b begin uniform in +-1/sqrt(2 K).
    Columns known to have fewer than 3 distinct quantiles stay plain numbers. A missing cell is a vector learnt for its column.

    Source: Y. Gorishniy, I. Rubachev, A. Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, NeurIPS 2022,
    equation 2; lite: Y. Gorishniy et al., TabR, ICLR 2024.
    """

    name: ClassVar[str] = "periodic"
    source: ClassVar[str] = "Y. Gorishniy, I. Rubachev, A. Babenko, On Embeddings for Numerical Features, NeurIPS 2022"
    usual_width: ClassVar[int] = 24
    width: int | None = None
    frequencies: int = 48
    sigma: float = 0.01
    lite: bool = False

    def __post_init__(self) -> None:
        if self.width is not None:
            check_count("periodic.width", self.width)
        check_count("periodic.frequencies", self.frequencies)
        if not 0 < self.sigma < math.inf:
            raise ConfigError(f"periodic.sigma must be above 0 and finite, got {self.sigma}; 0.01 to 10 are usual")

    def embeds(self, spec: FieldSpec) -> Sequence[bool]:
        return [not one or len(one) >= FEW for one in spec.quantiles or [()] * len(spec.names)]

    def vectors(self, quantiles: Sequence[Sequence[float]], width: int) -> nn.Module:
        return PeriodicVectors(len(quantiles), width, self)


class PeriodicVectors(nn.Module):
    """[B, C] -> [B, C, D] in one batched product over columns. frequencies [C, 1, K]; weight [C, 2 K, D], or [2 K, D] where lite."""

    def __init__(self, columns: int, width: int, settings: Periodic) -> None:
        super().__init__()
        waves = settings.frequencies
        self.frequencies = nn.Parameter(torch.empty(columns, 1, waves).normal_(std=settings.sigma))
        bound = (2 * waves) ** -0.5
        lead = () if settings.lite else (columns,)
        self.weight = nn.Parameter(torch.empty(*lead, 2 * waves, width).uniform_(-bound, bound))
        bias = (width,) if settings.lite else (columns, 1, width)
        self.bias = nn.Parameter(torch.empty(bias).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        angle = x.t().unsqueeze(-1) * (2 * math.pi * self.frequencies)
        waves = torch.cat([angle.cos(), angle.sin()], -1)
        if self.weight.dim() == 3:
            out = torch.baddbmm(self.bias, waves, self.weight)
        else:
            out = F.linear(waves, self.weight.t(), self.bias)
        return F.relu(out).transpose(0, 1)
