"""Encoded rows dealt out to shards, piece by piece, and the folder they become: whole or absent, like every cache entry.

A row goes to one of the shards of its split by a hash of its number, so that each shard is a random part of the split whatever the
order of the table, and the same shards come about however the table was cut into pieces. What is open at once is one piece.

`<cache>/<key>/` holds `meta.json` and one file a shard (`shard_files`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError, UnsupportedError
from cotrain.core.fields import Batch, Field
from cotrain.core.state import write_json
from cotrain.data.bits import of_numbers
from cotrain.data.shard_files import Section, Shard, checksum, damaged, offsets
from cotrain.data.shards import SHARD_ROWS, ShardedData
from cotrain.data.store import discard

FORMAT = 1
META = "meta.json"
_LEAST_ROOM = 1024


@dataclass(frozen=True)
class ShardEntry:
    """What a cache entry of shards holds: the rows, and the plain JSON that was kept beside them."""

    data: ShardedData
    kept: dict[str, Any]


class ShardWriter:
    """Writes shards into a folder of its own; `close` answers what was written.

    expected: {split: about how many rows it will have}; more of them fit, in further shards. rows: of one shard, about (`SHARD_ROWS`).
    """

    def __init__(self, folder: Path, expected: Mapping[str, float], seed: int, *, rows: int | None = None) -> None:
        rows = rows or SHARD_ROWS
        self.folder, self.seed = folder, seed
        self.sections: tuple[Section, ...] = ()
        self._invalid: set[tuple[str, str]] = set()
        self._shards: dict[str, list[Shard]] = {}
        self._dealt: dict[str, int] = {}
        for split, count in expected.items():
            self._dealt[split] = max(1, round(count / rows))
            mean = count / self._dealt[split]
            room = max(int(1.02 * mean + 6 * mean**0.5), min(rows, _LEAST_ROOM))
            self._shards[split] = [self._shard(split, number, room) for number in range(self._dealt[split])]

    @staticmethod
    def _shard(split: str, number: int, room: int) -> Shard:
        return Shard(f"{split}-{number:05d}.bin", 0, room)

    def add(self, batch: Batch, splits: Sequence[str]) -> None:
        """Rows (with their numbers) and the split of each. Raises UnsupportedError for rows of several values each."""
        if batch.row is None:
            raise DataError("rows for shards need their numbers, got none")
        if not self.sections:
            self.sections = sections_of(batch)
        arrays = self._arrays(batch)
        names = np.asarray(splits)
        bits = of_numbers(batch.row.numpy(), self.seed, "shards")
        for split, dealt in self._dealt.items():
            rows = np.flatnonzero(names == split)
            if not len(rows):
                continue
            shard = (bits[rows] % np.uint64(dealt)).astype(np.int64)
            order = np.argsort(shard, kind="stable")
            ends = np.searchsorted(shard[order], np.arange(dealt + 1))
            ready = [None if one is None else one[rows[order]] for one in arrays]
            for number in range(dealt):
                self._write(split, number, ready, int(ends[number]), int(ends[number + 1]))

    def _write(self, split: str, number: int, arrays: Sequence[NDArray[Any] | None], begin: int, end: int) -> None:
        """Rows `begin` to `end` to a shard; what it has no room for goes to a further one."""
        while begin < end:
            ones = self._shards[split]
            shard = ones[number]
            if shard.rows == shard.room:
                number = next(
                    (place for place in range(self._dealt[split], len(ones)) if ones[place].rows < ones[place].room),
                    len(ones),
                )
                if number == len(ones):
                    ones.append(self._shard(split, number, shard.room))
                continue
            now = min(end - begin, shard.room - shard.rows)
            starts = offsets(self.sections, shard.room)
            path = self.folder / shard.file
            fresh = not path.exists()
            with path.open("wb" if fresh else "r+b") as file:
                if fresh:
                    file.truncate(starts[-1])
                for section, start, array in zip(self.sections, starts, arrays, strict=False):
                    if array is not None and section.bytes:
                        file.seek(start + shard.rows * section.bytes)
                        file.write(np.ascontiguousarray(array[begin : begin + now]).data)
            ones[number] = replace(shard, rows=shard.rows + now)
            begin += now

    def _arrays(self, batch: Batch) -> list[NDArray[Any] | None]:
        """One array a section, None where every cell is valid."""
        groups: dict[str, Mapping[str, Field]] = {"input": batch.inputs, "target": batch.targets}
        out: list[NDArray[Any] | None] = []
        for one in self.sections:
            tensor: Tensor | None = batch.row if one.group == "row" else batch.weight
            if one.group in groups:
                field = groups[one.group][one.name]
                if one.part == "invalid":
                    tensor = None if field.valid is None else _widened(~field.valid, one.tail)
                    if tensor is not None:
                        self._invalid.add((one.group, one.name))
                else:
                    tensor = {"values": field.values, "present": field.present, "weight": field.weight}[one.part]
            if tensor is not None and (tensor.dtype != one.kind or tuple(tensor.shape[1:]) != one.tail):
                raise DataError(
                    f"field '{one.name}' changes from {one.dtype} {one.tail} to {tensor.dtype} {tuple(tensor.shape[1:])} within the table"
                )
            out.append(None if tensor is None else tensor.contiguous().numpy())
        return out

    def close(self) -> tuple[list[Section], dict[str, list[Shard]]]:
        """(sections, {split: shards with rows}), everything on disk."""
        found: dict[str, list[Shard]] = {}
        for split, ones in self._shards.items():
            for shard in ones:
                if not shard.rows:
                    continue
                path = self.folder / shard.file
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                found.setdefault(split, []).append(replace(shard, crc32=checksum(path)))
        return list(self.sections), found

    @property
    def unused(self) -> set[Section]:
        """Sections in which nothing was ever written: all cells of their fields are valid."""
        return {one for one in self.sections if one.part == "invalid" and (one.group, one.name) not in self._invalid}


def sections_of(batch: Batch) -> tuple[Section, ...]:
    """How rows like these lie in a shard. Raises UnsupportedError for a field of several values a row."""
    out = [Section("row", "row", "values", "int64")]
    if batch.weight is not None:
        out.append(Section("weight", "weight", "values", _word(batch.weight)))
    for group, fields in (("input", batch.inputs), ("target", batch.targets)):
        for name, one in fields.items():
            if one.offsets is not None:
                raise UnsupportedError(
                    f"field '{name}' has several values a row, which cannot be read piece by piece yet; set data.stream to false"
                )
            tail = tuple(one.values.shape[1:])
            out.append(Section(group, name, "values", _word(one.values), tail))
            out.append(Section(group, name, "present", "bool"))
            out.append(Section(group, name, "invalid", "bool", tail))
            if one.weight is not None:
                out.append(Section(group, name, "weight", _word(one.weight)))
    return tuple(out)


def _word(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _widened(mask: Tensor, tail: tuple[int, ...]) -> Tensor:
    """A mask over the leading axes of the values, over all of them."""
    missing = 1 + len(tail) - mask.dim()
    return mask.reshape(*mask.shape, *([1] * missing)).expand(len(mask), *tail)


# --------------------------------------------------------------------------------------------------------------- cache entries


def scratch(folder: Path, key: str) -> Path:
    """A folder beside the entry's place to write shards into."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{key}.", suffix=".tmp", dir=folder))


def finished(place: Path, writer: ShardWriter, source: str, kept: Mapping[str, Any]) -> None:
    """Close the writer and put `meta.json` beside its shards."""
    sections, shards = writer.close()
    meta = {
        "format": FORMAT,
        "source": source,
        "sections": [one.to_json() for one in sections],
        "unused": [one.to_json() for one in sections if one in writer.unused],
        "shards": {split: [vars(one) for one in ones] for split, ones in shards.items()},
        "kept": dict(kept),
    }
    write_json(place / META, meta)


def moved(place: Path, folder: Path, key: str) -> None:
    """Give a finished folder its name; whoever comes second leaves the first one's entry."""
    try:
        os.rename(place, folder / key)
    except OSError as error:
        if not (folder / key / META).is_file():
            raise DataError(
                f"the cache entry '{folder / key}' cannot be written: {error}; give another data.cache"
            ) from error
        shutil.rmtree(place, ignore_errors=True)


def entry_at(place: Path, *, temporary: bool = False) -> ShardEntry:
    """The entry in a folder. Raises DataError, OSError, ValueError, KeyError or TypeError for one that is damaged."""
    meta = json.loads((place / META).read_text(encoding="utf-8"))
    if meta["format"] != FORMAT:
        raise damaged(place / META, f"format {meta['format']} instead of {FORMAT}")
    sections = [Section.from_json(one) for one in meta["sections"]]
    shards = {split: [Shard(**one) for one in ones] for split, ones in meta["shards"].items()}
    for one in (one for ones in shards.values() for one in ones):
        size, due = (place / one.file).stat().st_size, offsets(sections, one.room)[-1]
        if size != due:
            raise damaged(place / one.file, f"{size} bytes instead of {due}")
    data = ShardedData(
        place,
        sections,
        shards,
        unused=[Section.from_json(one) for one in meta["unused"]],
        source=meta["source"],
        temporary=temporary,
    )
    return ShardEntry(data, meta["kept"])


def found(folder: Path, key: str) -> tuple[ShardEntry | None, str | None]:
    """(entry, None), (None, None) if there is none, or (None, what is wrong) for a damaged one, which is taken away."""
    place = folder / key
    if not place.exists():
        return None, None
    try:
        return entry_at(place), None
    except (DataError, ValueError, KeyError, TypeError, OSError) as error:
        discard(place)
        return None, f"the cache entry '{key}' was damaged ({error}) and is made again"
