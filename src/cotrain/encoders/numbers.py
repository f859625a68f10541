"""Which numbers become vectors and which stay plain, and what a missing cell becomes: the same for every number embedding.

Shapes: B rows, C columns, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.encoders.linear_numbers import LinearVectors
from cotrain.encoders.number_embedding import NumberEmbedding


def embedded_columns(spec: FieldSpec, settings: NumberEmbedding) -> tuple[list[int], list[int]]:
    """(columns that become vectors, columns that stay plain numbers) of an input."""
    embeds = settings.embeds(spec)
    return [place for place, one in enumerate(embeds) if one], [place for place, one in enumerate(embeds) if not one]


def known_quantiles(spec: FieldSpec, columns: Sequence[int]) -> list[tuple[float, ...]]:
    """The quantiles of these columns, empty where the specification has none."""
    return [spec.quantiles[place] if spec.quantiles else () for place in columns]


class Vectors(nn.Module):
    """Some columns through an embedding, [B, C] -> [B, C', D]; a missing cell becomes a vector learnt for its column, at first 0."""

    def __init__(self, columns: Sequence[int], of: int, embedding: nn.Module, width: int) -> None:
        super().__init__()
        self.columns = None if list(columns) == list(range(of)) else list(columns)
        self.embedding = embedding
        self.missing = nn.Parameter(torch.zeros(len(columns), width))

    def forward(self, values: Tensor, held: Tensor | None) -> Tensor:
        out: Tensor = self.embedding(values if self.columns is None else values[:, self.columns])
        if held is None:
            return out
        held = held if self.columns is None else held[:, self.columns]
        return torch.where(held.unsqueeze(-1), out, self.missing)


FLAT = 2048
"""Numbers that all embedded columns together take side by side, where a wide table does not need more."""


def flat_width(columns: int, usual: int) -> int:
    """The width of a column's vector where none is given: the usual one, less where there are many columns, 4 at least.

    >>> flat_width(20, 16), flat_width(400, 16), flat_width(10_000, 16), flat_width(5, 1)
    (16, 5, 4, 1)
    """
    return min(usual, max(4, FLAT // max(columns, 1)))


class FlatNumbers(nn.Module):
    """One input's numbers side by side: plain columns first, then the vectors of the embedded ones, [B, C] -> [B, sum of `widths`]."""

    def __init__(self, spec: FieldSpec, settings: NumberEmbedding) -> None:
        super().__init__()
        embedded, plain = embedded_columns(spec, settings)
        width = settings.width or flat_width(len(embedded), settings.usual_width)
        self.plain = plain if embedded else None
        self.vectors = None
        if embedded:
            made = settings.vectors(known_quantiles(spec, embedded), width)
            self.vectors = Vectors(embedded, len(spec.names), made, width)
        self.widths = (1,) * len(plain) + (width,) * len(embedded)

    def forward(self, field: Field) -> Tensor:
        values = as_columns(field.values)
        if self.vectors is None:
            return values
        vectors: Tensor = self.vectors(values, held_cells(field, values)).flatten(1)
        return torch.cat([values[:, self.plain], vectors], 1) if self.plain else vectors


class NumberTokens(nn.Module):
    """One input's numbers as tokens: plain columns as w_c x + b_c first, then the embedded ones, [B, C] -> [B, C, D]."""

    def __init__(self, spec: FieldSpec, settings: NumberEmbedding, width: int) -> None:
        super().__init__()
        embedded, plain = embedded_columns(spec, settings)
        parts: list[Vectors] = []
        if plain:
            parts.append(Vectors(plain, len(spec.names), LinearVectors(len(plain), width), width))
        if embedded:
            made = settings.vectors(known_quantiles(spec, embedded), width)
            parts.append(Vectors(embedded, len(spec.names), made, width))
        self.parts = nn.ModuleList(parts)

    def forward(self, field: Field) -> Tensor:
        values = as_columns(field.values)
        held = held_cells(field, values)
        tokens = [part(values, held) for part in self.parts]
        return tokens[0] if len(tokens) == 1 else torch.cat(tokens, 1)


def as_columns(values: Tensor) -> Tensor:
    """[B] or [B, C] -> [B, C]."""
    return values.unsqueeze(1) if values.dim() == 1 else values


def held_cells(field: Field, values: Tensor) -> Tensor | None:
    """[B, C] where a cell really holds a number, or None where nothing is said to be missing."""
    return None if field.valid is None else field.held().reshape(len(values), -1).expand(values.shape)
