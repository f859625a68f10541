"""All columns of a source side by side as one vector: what every encoder but the transformer begins with.

Shapes: B rows, C columns, F numbers a row.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.naming import slot
from cotrain.core.spec import InputSpec
from cotrain.encoders.categories import CategoryVectors, CategoryWidth

KINDS = ("number", "bag", "category")
"""What an encoder of tables reads, in the order it stands in the vector."""


def check_inputs(encoder: str, inputs: InputSpec) -> None:
    """Raises ConfigError for an input of a kind that is no column of a table, or where there is no column at all."""
    for name, spec in inputs.items():
        if spec.kind not in KINDS:
            raise ConfigError(
                f"encoder '{encoder}' reads numbers, bags of words and categories; input '{name}' is of kind '{spec.kind}'"
            )
    if not any(spec.names or spec.cardinalities for spec in inputs.values()):
        raise ConfigError(f"encoder '{encoder}' was given no usable input column; name some under inputs:")


class Columns(nn.Module):
    """Numbers, bags of words and the vectors of categories: {input: Field} -> [B, F].

    Codes of a category lie below its cardinality (0 is unseen or missing); what is missing among the numbers stands there as filler.
    `widths`: how many numbers each column takes, in the order of the vector; they add up to `width`, F.
    """

    def __init__(self, encoder: str, inputs: InputSpec, *, category_width: CategoryWidth) -> None:
        super().__init__()
        check_inputs(encoder, inputs)
        self.plain = [name for kind in ("number", "bag") for name, spec in inputs.items() if spec.kind == kind]
        self.categories = [name for name, spec in inputs.items() if spec.kind == "category"]
        self.tables = nn.ModuleDict(
            {slot(name): CategoryVectors(inputs[name].cardinalities, category_width) for name in self.categories}
        )
        widths = [1] * sum(len(inputs[name].names) for name in self.plain)
        for table in self.tables.values():
            widths += table.widths  # type: ignore[arg-type]
        self.widths = tuple(widths)
        self.width = sum(widths)

    def forward(self, fields: Mapping[str, Field]) -> Tensor:
        parts = [as_columns(fields[name].values) for name in self.plain]
        parts += [self.tables[slot(name)](fields[name].values) for name in self.categories]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def as_columns(values: Tensor) -> Tensor:
    """[B] or [B, C] -> [B, C]."""
    return values.unsqueeze(1) if values.dim() == 1 else values
