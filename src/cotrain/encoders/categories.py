"""Categories as learnt vectors, as wide as their number of classes asks for.

Shapes: B rows, C columns, D width of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError

CategoryWidth = int | Literal["auto"]

WIDEST = 50
"""No vector is wider than this by the rule of thumb."""


def width_by_cardinality(cardinality: int) -> int:
    """min(50, ceil(1.6 n^0.56)) numbers for a column of n codes.

    Source: the rule of thumb of fastai (J. Howard and S. Gugger, fastai: A Layered API for Deep Learning, Information 11, 2020), cut
    at 50 instead of 600 and rounded up.

    >>> [width_by_cardinality(n) for n in (2, 10, 100, 1000)]
    [3, 6, 22, 50]
    """
    return min(WIDEST, math.ceil(1.6 * math.pow(cardinality, 0.56)))


def check_category_width(encoder: str, width: CategoryWidth) -> None:
    """Raises ConfigError unless `width` is "auto" or a whole number of at least 1."""
    whole = isinstance(width, int) and not isinstance(width, bool) and width >= 1
    if width != "auto" and not whole:
        raise ConfigError(
            f"{encoder}.category_width must be a whole number of at least 1, or auto for a width by the number of codes, got {width!r}"
        )


class CategoryTable(nn.Module):
    """Vectors of several category columns in one table: codes [B, C] -> [B, C * D].

    Initial values N(0, 1/D), so that a category weighs about as much as one standardised number; code 0 of each column begins at 0.
    """

    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int], width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(cardinalities), width)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        starts = [0, *accumulate(cardinalities)][:-1]
        with torch.no_grad():
            self.table.weight[starts] = (
                0.0  # what training never saw is no category at random, but the mean of them all
            )
        self.register_buffer("offsets", torch.tensor(starts, dtype=torch.int64), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        out: Tensor = self.table(codes + self.offsets)
        return out.flatten(1)


class CategoryVectors(nn.Module):
    """Category columns of one input side by side: codes [B, C] -> [B, sum of `widths`].

    width: of every column's vector, or "auto": by its cardinality. Columns of equal width share one table; they stand together in
    the output, narrower ones first. widths: one a column, in the order of the output.
    """

    def __init__(self, cardinalities: Sequence[int], width: CategoryWidth) -> None:
        super().__init__()
        each = [width_by_cardinality(one) if width == "auto" else width for one in cardinalities]
        self.places = [[place for place, one in enumerate(each) if one == wide] for wide in sorted(set(each))]
        self.widths = tuple(each[place] for places in self.places for place in places)
        self.tables = nn.ModuleList(
            CategoryTable([cardinalities[place] for place in places], each[places[0]]) for places in self.places
        )

    def forward(self, codes: Tensor) -> Tensor:
        if len(self.tables) == 1:
            out: Tensor = self.tables[0](codes)
            return out
        return torch.cat([table(codes[:, places]) for table, places in zip(self.tables, self.places, strict=True)], 1)
