"""All columns of a source side by side as one vector: what every encoder but the transformer begins with.

Shapes: B rows, C columns, F numbers a row.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.naming import slot, unslot
from cotrain.core.spec import InputSpec
from cotrain.encoders.categories import CategoryVectors, CategoryWidth
from cotrain.encoders.linear_numbers import LINEAR
from cotrain.encoders.number_embedding import NumberEmbedding
from cotrain.encoders.numbers import FlatNumbers, as_columns

KINDS = ("number", "bag", "category")
"""What an encoder of tables reads, in the order it stands in the vector."""

BETTER = {
    "image": "; encoders of pictures are convnet, resnet18, resnet34 and resnet50. Beside other columns, name the inputs, each with an encoder of its own",
    "tokens": "; say data.text.encoding: bag, or choose an encoder of texts: text_conv, text_gru, text_transformer, pretrained_text",
}
"""{kind that a table has not: what to do about it}."""


def check_inputs(encoder: str, inputs: InputSpec) -> None:
    """Raises ConfigError for an input of a kind that is no column of a table, or where there is no column at all."""
    for name, spec in inputs.items():
        if spec.kind not in KINDS:
            raise ConfigError(
                f"encoder '{encoder}' reads numbers, bags of words and categories; input '{name}' is of kind '{spec.kind}'"
                + BETTER.get(spec.kind, "")
            )
    if not any(spec.names or spec.cardinalities for spec in inputs.values()):
        raise ConfigError(f"encoder '{encoder}' was given no usable input column; name some under inputs:")


def inputs_of_kind(inputs: InputSpec, kind: str) -> list[str]:
    """The inputs of one kind that have a column."""
    return [name for name, spec in inputs.items() if spec.kind == kind and (spec.names or spec.cardinalities)]


class Columns(nn.Module):
    """Numbers (plain or embedded), bags of words as they are, and the vectors of categories: {input: Field} -> [B, F].

    Codes of a category lie below its cardinality (0 is unseen or missing).
    `widths`: how many numbers each column takes, in the order of the vector; they add up to `width`, F.
    """

    def __init__(
        self, encoder: str, inputs: InputSpec, *, category_width: CategoryWidth, numbers: NumberEmbedding | None = None
    ) -> None:
        super().__init__()
        check_inputs(encoder, inputs)
        settings = numbers or LINEAR
        self.bags = inputs_of_kind(inputs, "bag")
        self.numbers = nn.ModuleDict(
            {slot(name): FlatNumbers(inputs[name], settings) for name in inputs_of_kind(inputs, "number")}
        )
        self.tables = nn.ModuleDict(
            {
                slot(name): CategoryVectors(inputs[name].cardinalities, category_width)
                for name in inputs_of_kind(inputs, "category")
            }
        )
        self.widths: tuple[int, ...] = (
            *(width for one in self.numbers.values() for width in one.widths),  # type: ignore[union-attr]
            *((1,) * sum(len(inputs[name].names) for name in self.bags)),
            *(width for one in self.tables.values() for width in one.widths),  # type: ignore[union-attr]
        )
        self.width = sum(self.widths)

    def forward(self, fields: Mapping[str, Field]) -> Tensor:
        parts = [one(fields[unslot(name)]) for name, one in self.numbers.items()]
        parts += [as_columns(fields[name].values) for name in self.bags]
        parts += [one(fields[unslot(name)].values) for name, one in self.tables.items()]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
