"""The contract of a number embedding: settings that answer a module from numbers to vectors.

Shapes: B rows, C columns, D width of a vector.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.spec import FieldSpec

FEW = 3
"""A column with fewer distinct quantiles (yes and no, say) has nothing to embed and stays a plain number."""


class NumberEmbedding(abc.ABC):
    """How numbers enter an encoder: frozen settings that know nothing of the data.

    `width`: of a column's vector; None leaves it to the encoder (`usual_width`, or the width of its tokens).
    """

    name: ClassVar[str]
    usual_width: ClassVar[int]
    width: int | None

    @abc.abstractmethod
    def embeds(self, spec: FieldSpec) -> Sequence[bool]:
        """Which columns become vectors; the others stay plain numbers."""

    @abc.abstractmethod
    def vectors(self, quantiles: Sequence[Sequence[float]], width: int) -> nn.Module:
        """A module from [B, C] to [B, C, D] for the embedded columns; the quantiles of each are empty where they are not known."""


def check_embedding(encoder: str, numbers: object) -> None:
    """Raises ConfigError unless `numbers` is a number embedding."""
    if not isinstance(numbers, NumberEmbedding):
        raise ConfigError(
            f"{encoder}.numbers must be a number embedding such as PiecewiseLinear(), got {numbers!r}; words belong in a config "
            "or in cotrain.fit"
        )
