"""All columns of a source as tokens: what a transformer of tables begins with.

Shapes: B rows, C columns, D width of a token.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cotrain.core.fields import Field
from cotrain.core.naming import slot, unslot
from cotrain.core.spec import InputSpec
from cotrain.encoders.categories import CategoryTable
from cotrain.encoders.columns import check_inputs, inputs_of_kind
from cotrain.encoders.number_embedding import NumberEmbedding
from cotrain.encoders.numbers import NumberTokens, as_columns


class Tokens(nn.Module):
    """{input: Field} -> [B, 1 + C, D]: a learnt token of its own first, then numbers, bags (one token each) and categories.

    Initial values of the first token uniform in +-1/sqrt(D).
    """

    def __init__(self, encoder: str, inputs: InputSpec, numbers: NumberEmbedding, width: int) -> None:
        super().__init__()
        check_inputs(encoder, inputs)
        bound = width**-0.5
        self.first = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        self.numbers = nn.ModuleDict(
            {slot(name): NumberTokens(inputs[name], numbers, width) for name in inputs_of_kind(inputs, "number")}
        )
        self.bags = nn.ModuleDict(
            {slot(name): nn.Linear(len(inputs[name].names), width) for name in inputs_of_kind(inputs, "bag")}
        )
        self.categories = nn.ModuleDict(
            {
                slot(name): CategoryTokens(inputs[name].cardinalities, width)
                for name in inputs_of_kind(inputs, "category")
            }
        )

    def forward(self, fields: Mapping[str, Field]) -> Tensor:
        parts = [one(fields[unslot(name)]) for name, one in self.numbers.items()]
        parts += [one(as_columns(fields[unslot(name)].values)).unsqueeze(1) for name, one in self.bags.items()]
        parts += [one(fields[unslot(name)].values) for name, one in self.categories.items()]
        return torch.cat([self.first.expand(len(parts[0]), 1, -1), *parts], 1)


class CategoryTokens(nn.Module):
    """A row of its column's table plus the column's bias: codes [B, C] -> [B, C, D].

    Initial values uniform in +-1/sqrt(D); code 0 (unseen or missing) begins as the bias alone.
    """

    def __init__(self, cardinalities: tuple[int, ...], width: int) -> None:
        super().__init__()
        bound = width**-0.5
        self.table = CategoryTable(cardinalities, width)
        with torch.no_grad():
            self.table.table.weight.uniform_(-bound, bound)[self.table.offsets] = 0.0
        self.bias = nn.Parameter(torch.empty(len(cardinalities), width).uniform_(-bound, bound))

    def forward(self, codes: Tensor) -> Tensor:
        out: Tensor = self.table(codes)
        return out.reshape(len(codes), *self.bias.shape) + self.bias
