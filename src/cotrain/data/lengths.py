"""Rows of near length in one batch, so that short texts are not filled up to the longest: still a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cotrain.core.fields import Field

POOL = 50
"""Batches whose rows are sorted together at most: the more, the nearer their lengths; the fewer, the more by chance are they together."""

CHUNKS = 8
"""Into so many chunks an epoch falls at least, or the same rows would come together in every one."""


def lengths_of(fields: Mapping[str, Any]) -> Tensor | None:
    """[N] how many values the ragged fields of a row hold together; None where no field is ragged."""
    ragged = [one.lengths() for one in fields.values() if isinstance(one, Field) and one.offsets is not None]
    return torch.stack(ragged).sum(0) if ragged else None


def by_length(order: Tensor, lengths: Tensor, size: int, draws: torch.Generator) -> Tensor:
    """The shuffled rows `order` [n] in batches of near length: chunks of at most `POOL` batches, each sorted by length, then the batches shuffled.

    lengths: [n] of the rows in that order. Rows of equal length stay in shuffled order. A last batch that is not full stays last.

    >>> lengths = torch.tensor([3, 1, 3, 1] * 8)
    >>> batches = by_length(torch.arange(32), lengths, 2, torch.Generator().manual_seed(0)).reshape(16, 2)
    >>> sorted(batches.tolist())[:4]
    [[0, 2], [1, 3], [4, 6], [5, 7]]
    """
    width = max(1, min(POOL, len(order) // (size * CHUNKS))) * size
    sorted_rows = torch.cat(
        [
            order[begin : begin + width][lengths[begin : begin + width].argsort(stable=True)]
            for begin in range(0, len(order), width)
        ]
        or [order]
    )
    full = len(order) // size
    batches = sorted_rows[: full * size].reshape(full, size)
    return torch.cat([batches[torch.randperm(full, generator=draws)].reshape(-1), sorted_rows[full * size :]])
