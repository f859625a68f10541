"""Numbers by the bin they fall into and how far into it: piecewise-linear embeddings (Gorishniy et al. 2022).

Shapes: B rows, C columns, K bins, D width of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.spec import FieldSpec
from cotrain.encoders.layers import check_count
from cotrain.encoders.number_embedding import FEW, NumberEmbedding

MOST = 64
"""Bins at most: so many intervals of equal share an input's specification knows."""


@dataclass(frozen=True, kw_only=True)
class PiecewiseLinear(NumberEmbedding):
    """v_c(x) = w_c x + b_c + V_c e(x) with bins at the training quantiles t_0 < ... < t_K of column c:

        e_k(x) = (x - t_{k-1}) / (t_k - t_{k-1})  cut to [0, 1]  (the first bin goes on below 0, the last one above 1)

    bins: K at most, from 2 to 64 (48 as in the authors' package); a column with fewer distinct quantiles has fewer. width: D of a column's
    vector; null: 16 (as in TabM; less where many columns would take more than 2,048 numbers together), or the tokens' width in a transformer.
    V begins at 0 and w, b as in a linear embedding, so that training starts from the plain number ("version B" of the authors' package, no
    activation; their first version is ReLU(V e + b)).
    Columns with fewer than 3 distinct quantiles, or with none known, stay plain numbers. A missing cell is a vector learnt for its column.

    Source: Y. Gorishniy, I. Rubachev, A. Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, NeurIPS 2022,
    equation 1 and section 3.2.1.
    """

    name: ClassVar[str] = "piecewise_linear"
    source: ClassVar[str] = "Y. Gorishniy, I. Rubachev, A. Babenko, On Embeddings for Numerical Features, NeurIPS 2022"
    usual_width: ClassVar[int] = 16
    width: int | None = None
    bins: int = 48

    def __post_init__(self) -> None:
        if self.width is not None:
            check_count("piecewise_linear.width", self.width)
        check_count("piecewise_linear.bins", self.bins)
        if not 2 <= self.bins <= MOST:
            raise ConfigError(f"piecewise_linear.bins must lie between 2 and {MOST}, got {self.bins}")

    def embeds(self, spec: FieldSpec) -> Sequence[bool]:
        return [len(edges_of(one, self.bins)) >= FEW for one in spec.quantiles or [()] * len(spec.names)]

    def vectors(self, quantiles: Sequence[Sequence[float]], width: int) -> nn.Module:
        return PiecewiseLinearVectors([edges_of(one, self.bins) for one in quantiles], width)


def edges_of(quantiles: Sequence[float], bins: int) -> list[float]:
    """At most bins + 1 of these rising quantiles, evenly by rank, the smallest and the largest among them; equal ones in float32 once.

    >>> edges_of([0.0, 1.0, 2.0, 3.0, 8.0], 2)
    [0.0, 2.0, 8.0]
    """
    distinct = sorted(set(torch.tensor(quantiles, dtype=torch.float32).tolist()))
    if len(distinct) <= bins + 1:
        return distinct
    ranks = torch.linspace(0, len(distinct) - 1, bins + 1).round().long().tolist()
    return [distinct[rank] for rank in ranks]


class PiecewiseLinearVectors(nn.Module):
    """[B, C] -> [B, C, D] in one batched product over columns; the number itself is the last of K + 1 components. weight [C, K + 1, D]."""

    start: Tensor
    slope: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, edges: Sequence[Sequence[float]], width: int) -> None:
        super().__init__()
        columns, bins = len(edges), max(len(one) for one in edges) - 1
        start, slope, low, high = (torch.zeros(columns, bins + 1) for _ in range(4))
        for column, one in enumerate(edges):
            at = torch.tensor(one)
            count = len(one) - 1
            start[column, :count], slope[column, :count] = at[:-1], 1 / at.diff()
            high[column, :count] = 1.0
            low[column, 0], high[column, count - 1] = -math.inf, math.inf
        slope[:, -1], low[:, -1], high[:, -1] = 1.0, -math.inf, math.inf
        for name, values in (("start", start), ("slope", slope), ("low", low), ("high", high)):
            self.register_buffer(name, values.unsqueeze(1))
        bound = width**-0.5
        weight = torch.zeros(columns, bins + 1, width)
        weight[:, -1].uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(columns, 1, width).uniform_(-bound, bound))

    def encoding(self, x: Tensor) -> Tensor:
        """[B, C] -> [C, B, K + 1]: e(x) and x itself; where a column has fewer bins, zeros between the two."""
        return ((x.t().unsqueeze(-1) - self.start) * self.slope).clamp(self.low, self.high)

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, self.encoding(x), self.weight).transpose(0, 1)
