"""Numbers as they are; as tokens, a linear map for each column.

Shapes: B rows, C columns, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.spec import FieldSpec
from cotrain.encoders.number_embedding import NumberEmbedding


@dataclass(frozen=True, kw_only=True)
class LinearNumbers(NumberEmbedding):
    """Every number as it is; where an encoder reads tokens, w_c x + b_c for each column. No settings.

    As a plain number a missing cell keeps its filler (what imputation put there); as a token it is a vector learnt for the column.
    """

    name: ClassVar[str] = "linear"
    usual_width: ClassVar[int] = 1
    width: ClassVar[int | None] = None  # type: ignore[misc]

    def embeds(self, spec: FieldSpec) -> Sequence[bool]:
        return [False] * len(spec.names)

    def vectors(self, quantiles: Sequence[Sequence[float]], width: int) -> nn.Module:
        return LinearVectors(len(quantiles), width)


LINEAR = LinearNumbers()
"""Numbers as they are: every encoder's default."""


class LinearVectors(nn.Module):
    """w_c x + b_c for every column c: [B, C] -> [B, C, D]. Initial values uniform in +-1/sqrt(D).

    Source: Y. Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021, section 3.3 (feature tokenizer).
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(columns, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, width).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x.unsqueeze(-1), self.weight)
