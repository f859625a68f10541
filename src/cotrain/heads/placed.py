"""A head for what lies somewhere: it keeps where things are, instead of the mean over all places."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import nn

from cotrain.core.signals import Shape
from cotrain.core.spec import HeadSettings


@dataclass(frozen=True)
class Placed:
    """Any other head, with its `pool: mean` made a grid over a map, and attention over a sequence.

    A mean over places is the same wherever a thing lies; no layer behind it can say where. Heads that pool otherwise, or have no such setting,
    stay as they are.

    >>> from cotrain.heads import LinearHead
    >>> Placed(LinearHead()).over("map")
    LinearHead(dropout=0.0, pool='grid', cells=4, per_stage=False)
    """

    head: HeadSettings

    name: ClassVar[str] = "placed"

    def over(self, layout: str) -> HeadSettings:
        """The head that is used over a signal of this layout."""
        pool = {"map": "grid", "sequence": "attention"}.get(layout)
        if pool is None or getattr(self.head, "pool", None) != "mean":
            return self.head
        return cast(HeadSettings, dataclasses.replace(cast(Any, self.head), pool=pool))

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        return self.over(shapes[-1].layout).build(shapes, outputs)
