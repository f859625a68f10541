"""The first way through a table too large for memory: counts of everything, and a sample that stands for the rest.

The sample are the `SAMPLE_ROWS` rows with the smallest hashes of their numbers, so every row is as likely as any other and the same are drawn
however the table is cut into pieces. To it come a few training rows of every label of a target, so that no label is overlooked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.bits import Hashes, of_numbers
from cotrain.data.clean import Step
from cotrain.data.dealt import Dealer, by_moments
from cotrain.data.infer import infer
from cotrain.data.manners import Manner, manners, numbered
from cotrain.data.notes import Notes
from cotrain.data.pieces import LargeTable
from cotrain.data.read import added, joined
from cotrain.data.settings import SplitSettings
from cotrain.data.shards import SAMPLE_ROWS
from cotrain.data.split import FEWEST, SPLITS
from cotrain.data.typed import as_words

HEAD = 10_000
"""The first rows in a row, which show whether a column counts them."""

LABELS, FEW_LABELS = 1000, 20
"""A target with more than 1000 different cells, or of which every fifth in one piece is another (and more than 20 are), is no class
target, and its labels are not looked after."""

WITNESSES = 3
"""So many training rows of every label of a target are in the sample at least, where there are so many."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Survey:
    """What the first way through found.

    rows: in all. sample: drawn rows with numbers typed, in the table's order. numbers: [S] their numbers. where: [S] the split of each.
    dealer: deals out all rows. found: how numbers are written. missing: {column: cells}. counting: columns that number the rows.
    """

    rows: int
    sample: pl.DataFrame
    numbers: Ints
    where: Ints
    dealer: Dealer
    found: dict[str, Manner]
    missing: dict[str, int]
    counting: tuple[str, ...]
    steps: list[Step]
    notes: list[str]

    @property
    def expected(self) -> dict[str, float]:
        """{split: about how many rows it will have}, of the splits that are wanted."""
        shares = np.bincount(self.where, minlength=3) / max(len(self.where), 1)
        wanted = {
            split
            for split, share in zip(SPLITS, self.dealer.settings.fractions, strict=True)
            if share > 0 or self.dealer.settings.method in ("column", "files")
        }
        return {split: float(share * self.rows) for split, share in zip(SPLITS, shares, strict=True) if split in wanted}


def survey(
    table: LargeTable, split: SplitSettings, *, seed: int, targets: Sequence[str], size: int | None = None
) -> Survey:
    """One way through the table. targets: the columns whose labels are looked after. size: of the sample (`SAMPLE_ROWS`).

    Raises DataError if there are too few rows, or as reading and splitting do.
    """
    drawn, witnesses, notes = _Drawn(size or SAMPLE_ROWS, seed), _Witnesses(targets), Notes()
    dealer = Dealer(split, seed)
    rows, steps, missing, given = 0, list[Step](), dict.fromkeys(table.columns, 0), np.zeros(3, dtype=np.int64)
    head: pl.DataFrame | None = None
    for piece in table.pieces(notes):
        frame, numbers = piece.frame, np.arange(piece.start, piece.start + piece.frame.height, dtype=np.int64)
        head = frame.head(HEAD) if head is None else head
        where = np.zeros(len(numbers), dtype=np.int64)
        if split.method != "time":
            with piece.placed():
                where = dealer(frame, numbers, piece.split)
        given += np.bincount(where, minlength=3)
        drawn.add(frame, numbers, piece.split)
        witnesses.look(frame, numbers, where == 0, piece.split)
        steps = added([*steps, *piece.steps])
        rows += frame.height
        for name, count in zip(frame.columns, frame.null_count().row(0), strict=True):
            missing[name] += count
    if rows < FEWEST or head is None:
        raise DataError(
            f"at least {FEWEST} rows are needed to train, validate and test, got {rows}; "
            "is this the right file, and does its header say what it should?"
        )
    said = notes.lines()
    sample, numbers, parts = drawn.taken(witnesses)
    found, more = manners(sample, table.reading.decimal, table.comma_free)
    sample = numbered(sample, found)
    if split.method == "time":
        dealer = by_moments(split, seed, sample)
    elif split.method in ("column", "files") and not given[1]:
        dealer = Dealer(split, seed, drawn=True)
        said.append("no rows were given for validation: some are drawn from training by a hash of their numbers")
    where = np.zeros(len(numbers), dtype=np.int64)
    for part in dict.fromkeys(parts):
        mine = np.array([one == part for one in parts])
        where[mine] = dealer(sample.filter(pl.Series(mine)), numbers[mine], part)
    counting = () if len(sample) == rows else _counting(numbered(head, found), sample)
    return Survey(rows, sample, numbers, where, dealer, found, missing, counting, steps, [*said, *more])


def _counting(head: pl.DataFrame, sample: pl.DataFrame) -> tuple[str, ...]:
    """Columns that number the rows: a drawn sample has gaps, so the first rows show it."""
    flat = [name for name, dtype in head.schema.items() if dtype.is_integer() and sample[name].is_sorted()]
    kinds = infer(head, columns=flat) if flat else {}
    return tuple(
        name
        for name, one in kinds.items()
        if one.kind == "identifier" and sample[name].drop_nulls().n_unique() == len(sample)
    )


class _Drawn:
    """The rows with the smallest hashes so far."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self.limit = np.uint64(2**64 - 1)
        self.kept: list[tuple[pl.DataFrame, Ints, Hashes, str | None]] = []

    def add(self, frame: pl.DataFrame, numbers: Ints, part: str | None) -> None:
        bits = of_numbers(numbers, self.seed, "sample")
        low = bits <= self.limit
        if low.any():
            self.kept.append((frame.filter(pl.Series(low)), numbers[low], bits[low], part))
        if sum(len(one[1]) for one in self.kept) > 1.5 * self.size:
            self._prune()

    def _prune(self) -> None:
        every = np.concatenate([bits for _, _, bits, _ in self.kept])
        if len(every) > self.size:
            self.limit = np.partition(every, self.size - 1)[self.size - 1]
        pruned = []
        for frame, numbers, bits, part in self.kept:
            low = bits <= self.limit
            pruned.append((frame.filter(pl.Series(low)), numbers[low], bits[low], part))
        self.kept = pruned

    def taken(self, witnesses: _Witnesses) -> tuple[pl.DataFrame, Ints, list[str | None]]:
        """(frame, numbers, the split each row's file was given for), witnesses among them, in the table's order."""
        self._prune()
        kept = [(frame, numbers, part) for frame, numbers, _, part in self.kept if len(numbers)]
        have = np.concatenate([numbers for _, numbers, _ in kept])
        for frame, numbers, part in witnesses.kept:
            new = ~np.isin(numbers, have)
            if new.any():
                kept.append((frame.filter(pl.Series(new)), numbers[new], part))
                have = np.concatenate([have, numbers[new]])
        self.kept = []
        frame = joined([(f"the rows from {numbers[0] + 1} on", frame) for frame, numbers, _ in kept])
        order = np.argsort(have, kind="stable")
        parts = [part for _, numbers, part in kept for _ in range(len(numbers))]
        return frame[order], have[order], [parts[place] for place in order]


class _Witnesses:
    """A few training rows of every label of the targets."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.seen: dict[str, dict[str, int]] = {name: {} for name in columns}
        self.kept: list[tuple[pl.DataFrame, Ints, str | None]] = []

    def look(self, frame: pl.DataFrame, numbers: Ints, train: NDArray[np.bool_], part: str | None) -> None:
        """Keep rows of labels that came less than `WITNESSES` times."""
        wanted: set[int] = set()
        for name in list(self.seen):
            if name not in frame.columns:
                continue
            series, seen = frame[name], self.seen[name]
            most = min(LABELS, max(FEW_LABELS, len(series) // 5))
            if series.dtype.is_nested() or series.n_unique() > most or len(seen) > LABELS:
                del self.seen[name]
                continue
            words = as_words(series)
            rare = [one for one in words.unique().drop_nulls().to_list() if seen.get(one, 0) < WITNESSES]
            if not rare:
                continue
            labelled = pl.DataFrame({"word": words, "place": np.arange(len(words)), "train": train})
            for word, places in (
                labelled.filter(pl.col("train") & pl.col("word").is_in(rare))
                .group_by("word", maintain_order=True)
                .agg(pl.col("place").head(WITNESSES))
                .iter_rows()
            ):
                new = places[: WITNESSES - seen.get(word, 0)]
                seen[word] = seen.get(word, 0) + len(new)
                wanted.update(new)
        if wanted:
            places = np.sort(np.fromiter(wanted, dtype=np.int64))
            self.kept.append((frame[places], numbers[places], part))
