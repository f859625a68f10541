"""Some of the training rows, for trials that need not see them all."""

from __future__ import annotations

import dataclasses

import torch

from cotrain.core.errors import ConfigError
from cotrain.core.randomness import generator
from cotrain.data.drawn import RowData
from cotrain.data.sample import EncodedData
from cotrain.data.sources import SeveralData
from cotrain.recipe.rows import Rows


def fewer(rows: Rows, most: int, seed: int) -> Rows:
    """The rows with at most so many of every source in their training split, drawn without replacement; other splits stay whole.

    Encoders and codecs are still those of all training rows. Raises ConfigError for rows that are read piece by piece.
    """
    data = rows.data
    if isinstance(data, SeveralData):
        return dataclasses.replace(
            rows, data=SeveralData({source: _fewer(one, most, seed) for source, one in data.parts.items()})
        )
    return dataclasses.replace(rows, data=_fewer(data, most, seed))


def _fewer(data: RowData, most: int, seed: int) -> RowData:
    if not isinstance(data, EncodedData):
        raise ConfigError(
            "tune.rows draws from rows in memory, and these are read piece by piece; write data.stream: false if they fit, or leave rows out"
        )
    train = data.rows("train")
    if len(train) <= most:
        return data
    drawn = torch.randperm(len(train), generator=generator(seed, "fewer", data.source))[:most]
    splits = {**data.splits, "train": train[drawn.sort().values]}
    return EncodedData(data.inputs, data.targets, splits=splits, weight=data.weight, source=data.source)
