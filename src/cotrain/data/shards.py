"""Encoded rows on disk, larger than memory: shards of some ten thousand rows, of which a few are looked at together.

Rows were dealt out to the shards of their split by a hash of their number, so every shard is a random part of the split. An epoch
visits the shards in random order, `WINDOW` of them at a time, and the rows of these in random order: a pure function of (seed, epoch).
What is held at once are the rows of one window, however many there are in all.

Shapes: B rows of a batch.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.core.fields import Batch, Field
from cotrain.core.randomness import generator
from cotrain.data.sample import EncodedData
from cotrain.data.shard_files import Section, Shard, batch_of, opened

SHARD_ROWS = 65_536
"""Rows of a shard, about: 5 MiB at twenty columns."""

WINDOW = 8
"""Shards whose rows are mixed: about half a million rows."""

SAMPLE_ROWS = 300_000
"""Rows that stand for all of a split where one must look at all at once: the standard error of a mean is 0.2 % of a deviation."""

WATCHED_ROWS = 200_000
"""At most so many validation rows choose when to stop (one shard at least); all are scored in the end."""


class ShardedData:
    """Every row of one source, encoded, in shards on disk; the same questions as `EncodedData` answers.

    folder: where the shards lie. shards: {split: its shards}. sections: of the files: their parts. unused: those in which nothing was written.
    temporary: take the folder away with the last who uses it.
    """

    def __init__(
        self,
        folder: Path,
        sections: Sequence[Section],
        shards: Mapping[str, Sequence[Shard]],
        *,
        unused: Collection[Section] = (),
        source: str = "main",
        temporary: bool = False,
    ) -> None:
        self.folder, self.sections, self.source = folder, tuple(sections), source
        self.unused = frozenset(unused)
        self.shards = {split: tuple(ones) for split, ones in shards.items()}
        self.task_names = tuple(dict.fromkeys(one.name for one in self.sections if one.group == "target"))
        self._rows = {shard.file: shard.rows for ones in self.shards.values() for shard in ones}
        self._keep: tuple[str, ...] | None = None
        self._checked: set[str] = set()
        self._owner: ShardedData | None = None
        if temporary:
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    # ------------------------------------------------------------------------------------------------------------- how many

    @property
    def streamed(self) -> bool:
        """Always: nobody should want all rows at once."""
        return True

    @property
    def counts(self) -> dict[str, int]:
        """{split: rows}."""
        return {split: sum(self._rows[shard.file] for shard in ones) for split, ones in self.shards.items()}

    def __len__(self) -> int:
        return sum(self.counts.values())

    def count(self, split: str) -> int:
        """Rows of a split. Raises DataError naming the splits there are."""
        return sum(self._rows[shard.file] for shard in self._of(split))

    def steps(self, split: str, size: int, *, drop_last: bool = False) -> int:
        """How many batches of `size` an epoch over a split has."""
        count = self.count(split)
        return count // size if drop_last else -(-count // size)

    def _of(self, split: str) -> tuple[Shard, ...]:
        try:
            return self.shards[split]
        except KeyError:
            raise DataError(unknown("split", split, list(self.shards))) from None

    # --------------------------------------------------------------------------------------------------------------- some rows

    def first(self, split: str, rows: int) -> Batch:
        """The first rows of a split, at most so many: a random part of it, for they were dealt out by hash."""
        needed, found = list[Shard](), 0
        for shard in self._of(split):
            if found >= rows and needed:
                break
            needed.append(shard)
            found += self._rows[shard.file]
        window = self._window(needed)
        return window if len(window) <= rows else window.select(torch.arange(rows))

    def sample(self, split: str) -> Batch:
        """Rows that stand for the whole split: at most `SAMPLE_ROWS` of them, drawn at random, always the same."""
        return self.first(split, SAMPLE_ROWS)

    def whole(self, split: str) -> Batch:
        """Every row of a split as one batch; memory grows with it."""
        return self._window(self._of(split))

    # ----------------------------------------------------------------------------------------------------------------- batches

    def batches(
        self,
        split: str,
        size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        shuffle: bool = False,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """One epoch over a split in batches of `size` rows (the last may be smaller, and is left out with `drop_last`).

        Raises ConfigError if asked to shuffle without a seed, DataError for a shard that is damaged.
        """
        if size < 1:
            raise ConfigError(f"a batch size of at least 1 is expected, got {size}")
        if shuffle and seed is None:
            raise ConfigError(
                "shuffled batches need a seed, got none; give seed=0, so that the same order can be had again"
            )
        left: Batch | None = None
        for window, order in self._windows(split, seed if shuffle else None, epoch):
            begin = 0
            if left is not None:
                begin = min(size - len(left), len(order))
                left = _joined(left, window(order[:begin]))
                if len(left) < size:
                    continue
                yield left
                left = None
            end = begin + (len(order) - begin) // size * size
            for rows in torch.split(order[begin:end], size) if end > begin else ():
                yield window(rows)
            if end < len(order):
                left = window(order[end:])
            del window
        if left is not None and not drop_last:
            yield left

    def _windows(self, split: str, seed: int | None, epoch: int) -> Iterator[tuple[_Window, Tensor]]:
        """(rows of a window, the order to visit them in), window after window."""
        shards = self._of(split)
        if seed is not None:
            order = torch.randperm(len(shards), generator=generator(seed, "shards", self.source, epoch)).tolist()
            shards = tuple(shards[place] for place in order)
        width = 1 if seed is None else WINDOW
        for begin in range(0, len(shards), width):
            window = _Window(self._window(shards[begin : begin + width]))
            rows = len(window)
            if seed is None:
                yield window, torch.arange(rows)
            elif rows:
                yield window, torch.randperm(rows, generator=generator(seed, "window", self.source, epoch, begin))
            del window

    def _window(self, shards: Sequence[Shard]) -> Batch:
        """The rows of several shards in memory; each is mapped, copied and given back in turn."""
        sections = self._sections
        total = sum(self._rows[shard.file] for shard in shards)
        kept = [torch.empty((total, *one.tail), dtype=one.kind) for one in sections]
        begin = 0
        for shard in shards:
            tensors = self._open(shard)
            end = begin + len(tensors[0])
            for place, tensor in zip(kept, tensors, strict=True):
                place[begin:end] = tensor
            begin = end
        return batch_of(sections, kept, self.source)

    @property
    def _sections(self) -> tuple[Section, ...]:
        """Those that are given out."""
        return tuple(
            one
            for one in self.sections
            if one not in self.unused and (one.group != "target" or one.name in self.task_names)
        )

    def _open(self, shard: Shard) -> list[Tensor]:
        """The sections of a shard, only rows with a label where tasks were chosen."""
        tensors = opened(self.folder, shard, self.sections, check=shard.file not in self._checked)
        self._checked.add(shard.file)
        labelled = None if self._keep is None else _labelled(self.sections, tensors, self._keep)
        chosen = set(self._sections)
        return [
            tensor if labelled is None else tensor[labelled]
            for one, tensor in zip(self.sections, tensors, strict=True)
            if one in chosen
        ]

    # ------------------------------------------------------------------------------------------------------------------- views

    def for_tasks(self, names: Collection[str]) -> ShardedData:
        """The same rows with the targets of these tasks only; rows with a label for none of them leave the splits."""
        if set(names) == set(self.task_names):
            return self
        view = self._view(self.shards)
        view.task_names = tuple(name for name in self.task_names if name in names)
        view._keep = view.task_names
        for shard in (shard for ones in self.shards.values() for shard in ones):
            tensors = opened(self.folder, shard, self.sections, check=False)
            view._rows[shard.file] = int(_labelled(self.sections, tensors, view._keep).sum())
        return view

    def watched(self, split: str) -> ShardedData:
        """The first shards of a split, together at most `WATCHED_ROWS` rows (but one shard at least): enough to choose when to stop."""
        taken, rows = list[Shard](), 0
        for shard in self._of(split):
            rows += self._rows[shard.file]
            if taken and rows > WATCHED_ROWS:
                break
            taken.append(shard)
        return self._view({split: taken})

    def _view(self, shards: Mapping[str, Sequence[Shard]]) -> ShardedData:
        view = ShardedData(self.folder, self.sections, shards, unused=self.unused, source=self.source)
        view.task_names, view._keep, view._rows = self.task_names, self._keep, dict(self._rows)
        view._checked, view._owner = self._checked, self._owner or self
        return view


class _Window:
    """Rows in memory, taken batch by batch, with the numbers they have in the table."""

    def __init__(self, rows: Batch) -> None:
        self.rows = EncodedData(rows.inputs, rows.targets, splits={}, weight=rows.weight, source=rows.source)
        self.numbers = rows.row if rows.row is not None else torch.arange(len(rows))

    def __len__(self) -> int:
        return len(self.numbers)

    def __call__(self, places: Tensor) -> Batch:
        return replace(self.rows.batch(places), row=self.numbers.index_select(0, places))


def _labelled(sections: Sequence[Section], tensors: Sequence[Tensor], tasks: Sequence[str]) -> Tensor:
    """[rows] True where a row has a label for one of the tasks at least."""
    held = [
        tensor
        for one, tensor in zip(sections, tensors, strict=True)
        if one.group == "target" and one.part == "present" and one.name in tasks
    ]
    return torch.stack(held).any(0)


def _joined(one: Batch, other: Batch) -> Batch:
    """The rows of two batches of one source, one below the other."""
    return Batch(
        {name: Field.cat([field, other.inputs[name]]) for name, field in one.inputs.items()},
        {name: Field.cat([field, other.targets[name]]) for name, field in one.targets.items()},
        None if one.weight is None or other.weight is None else torch.cat([one.weight, other.weight]),
        None if one.row is None or other.row is None else torch.cat([one.row, other.row]),
        one.source,
    )
