"""One shard: a file with the same few columns of numbers for some ten thousand rows, mapped while it is looked at.

A file holds one section after the other (row numbers, weights, and for every field its values, `present` and what is not valid), each with
room for `room` rows of which the first `rows` are used. What was never written is a hole: it takes no place on disk and reads as zeros.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Batch, Field

ALIGNED = 64
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Section:
    """One column of numbers. group: row, weight, input or target. part: values, present, invalid (the contrary of `valid`) or weight.

    dtype: torch's word for it. tail: the shape of one row's part.
    """

    group: str
    name: str
    part: str
    dtype: str
    tail: tuple[int, ...] = ()

    @property
    def kind(self) -> torch.dtype:
        """The dtype itself. Raises ValueError for a word that is none."""
        found = getattr(torch, self.dtype, None)
        if not isinstance(found, torch.dtype):
            raise ValueError(f"section '{self.name}' is of an unknown kind '{self.dtype}'")
        return found

    @property
    def bytes(self) -> int:
        """Bytes of one row."""
        return prod(self.tail) * self.kind.itemsize

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**vars(self), "tail": list(self.tail)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Section:
        """The section `to_json` wrote."""
        return Section(**{**value, "tail": tuple(value["tail"])})


@dataclass(frozen=True)
class Shard:
    """One file. rows: used. room: rows it was laid out for. crc32: of the file's bytes."""

    file: str
    rows: int
    room: int
    crc32: int = 0


def offsets(sections: Sequence[Section], room: int) -> list[int]:
    """Where each section begins, and, last, how long the file is.

    >>> offsets([Section("row", "", "values", "int64"), Section("weight", "", "values", "float32")], 9)
    [0, 128, 192]
    """
    out = [0]
    for section in sections:
        out.append(-(-(out[-1] + room * section.bytes) // ALIGNED) * ALIGNED)
    return out


def opened(folder: Path, shard: Shard, sections: Sequence[Section], *, check: bool) -> list[Tensor]:
    """The used rows of every section, mapped: nothing is read before it is looked at, and the map goes when the tensors go.

    check: compare the checksum first. Raises DataError for a file that is not what was written.
    """
    path, begins = folder / shard.file, offsets(sections, shard.room)
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != begins[-1]:
                raise damaged(path, f"{os.fstat(file.fileno()).st_size} bytes instead of {begins[-1]}")
            if check and checksum(path) != shard.crc32:
                raise damaged(path, "another checksum")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise damaged(path, str(error)) from error
    out = []
    for section, begin in zip(sections, begins, strict=False):
        cells = shard.rows * prod(section.tail)
        flat = torch.frombuffer(content, dtype=section.kind, count=cells, offset=begin) if cells else torch.empty(0)
        out.append(flat.to(section.kind).reshape(shard.rows, *section.tail))
    return out


def batch_of(sections: Sequence[Section], tensors: Sequence[Tensor], source: str) -> Batch:
    """The rows of a shard, or of several one below the other, as one batch."""
    groups: dict[str, dict[str, dict[str, Tensor]]] = {"row": {}, "weight": {}, "input": {}, "target": {}}
    for section, tensor in zip(sections, tensors, strict=True):
        groups[section.group].setdefault(section.name, {})[section.part] = tensor

    def field(parts: Mapping[str, Tensor]) -> Field:
        invalid = parts.get("invalid")
        return Field(
            parts["values"], parts["present"], None, None if invalid is None else ~invalid, parts.get("weight")
        )

    weight = groups["weight"].get("weight")
    return Batch(
        {name: field(parts) for name, parts in groups["input"].items()},
        {name: field(parts) for name, parts in groups["target"].items()},
        None if weight is None else weight["values"],
        groups["row"]["row"]["values"],
        source,
    )


def checksum(path: Path) -> int:
    """CRC-32 of a file, read block by block."""
    total = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total = zlib.crc32(block, total)
    return total


def damaged(path: Path, what: str) -> DataError:
    """The error for a shard that is not what was written."""
    return DataError(
        f"shard '{path}' is damaged ({what}); take the folder '{path.parent}' away and run again: the shards are made anew from the data"
    )
