"""The whole way from files too large for memory to encoded rows in shards; `prepare` for what does not fit.

Twice through the files: first a survey (counts, and a sample), from which kinds, scales, categories, warnings and the report come as
`prepare` finds them in a table of the sampled rows; then every piece is encoded with what was fitted and dealt out to shards. Counts in
the report are those of all rows, whatever else is of the sample is said to be.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import Codec
from cotrain.core.state import plain
from cotrain.data.account import Changes, change_steps, counted_changes
from cotrain.data.choose import chosen, columns_read, some_weights, target_columns
from cotrain.data.clean import Step, finite
from cotrain.data.columns import FieldEncoder
from cotrain.data.encode import FORMAT, TableEncoder
from cotrain.data.manners import numbered
from cotrain.data.notes import Notes
from cotrain.data.picture_columns import is_picture
from cotrain.data.pieces import LargeTable, Piece
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, prepare
from cotrain.data.read import Table, added
from cotrain.data.settings import DataSettings, SplitSettings
from cotrain.data.shard_writer import ShardEntry, ShardWriter, entry_at, finished, found, moved, scratch
from cotrain.data.split import SPLITS
from cotrain.data.store import key_of
from cotrain.data.survey import Survey, survey
from cotrain.data.typed import as_words

DATA_FORMAT = 2
"""Raised whenever the same files would be dealt out otherwise; part of every cache key."""


def prepare_stream(table: LargeTable, asked: Preparation) -> Prepared:
    """Files made ready for training piece by piece. Memory does not grow with the rows.

    Encoders and codecs are fitted on the training rows of a sample (`SAMPLE_ROWS`, and some rows of every label); splits are dealt out by hash
    (`Dealer`). cache: where the shards are kept for the next time; without it they lie in the system's folder for temporary files until
    the rows are let go. Raises as `prepare` does, and ConfigError for what needs all rows at once.
    """
    settings, earlier, cache = asked.settings, asked.earlier, asked.cache
    refuse(settings)
    about = replace(settings, path="", cache=None, stream=True)
    if " object at 0x" in repr((asked.targets, about)):  # nothing that could be found again
        cache = None
    key = key_of(
        FORMAT,
        DATA_FORMAT,
        table.fingerprint(),
        list(asked.inputs),
        repr(asked.targets),
        repr(about),
        repr(asked.task_weights),
        asked.seed,
        asked.source,
        *(() if earlier is None else (earlier.digest,)),
        *([dict(asked.groups)] if asked.groups else []),
        repr(asked.texts),
    )
    notes = Notes()
    if cache is not None:
        entry, wrong = found(cache, key)
        if entry is not None:
            return of_entry(entry, asked.targets)
        notes.add([wrong] if wrong else [])
    names = target_columns({task: codec.columns for task, codec in asked.targets.items()})
    seen = survey(table, settings.split, seed=asked.seed, targets=names)
    fit = fitted_on_sample(table, seen, asked)
    refuse_ragged(fit)
    place = scratch(cache, key) if cache is not None else Path(tempfile.mkdtemp(prefix="cotrain-shards-"))
    try:
        writer = ShardWriter(place, seen.expected, asked.seed)
        account = Account(fit, seen)
        for piece in table.pieces():
            with piece.placed():
                account.add(write_piece(writer, piece, fit, seen, settings.weight, asked.task_weights or {}))
        report = account.report(table, settings, notes.lines())
        finished(
            place,
            writer,
            asked.source,
            {"report": report, "encoder": fit.encoder.to_json(), "codecs": codecs_json(fit)},
        )
        account.check(settings)
        if cache is None:
            return of_entry(entry_at(place, temporary=True), asked.targets)
        moved(place, cache, key)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return of_entry(entry_at(cache / key), asked.targets)


def refuse(settings: DataSettings) -> None:
    """Raises ConfigError for what needs all rows at once."""
    if settings.drop_duplicates:
        raise ConfigError(
            "data.drop_duplicates: repeated rows can only be dropped where all rows are in memory, and these are read piece by piece; "
            "leave it out, drop them beforehand, or set data.stream to false"
        )
    for column in (None, *settings.per_column):
        said = settings if column is None else settings.of(column)
        where = "data" if column is None else f"data.per_column.{column}"
        for key, drops in (
            ("impute", said.impute is not None and "drop" in (said.impute.name, said.impute.of_labels)),
            ("outliers", said.outliers is not None and said.outliers.does == "drop"),
        ):
            if drops:
                raise ConfigError(
                    f"{where}.{key}: rows are only dropped where all are in memory, and these are read piece by piece; "
                    "fill or clip these cells instead, or set data.stream to false"
                )


def refuse_pictures(frame: pl.DataFrame, inputs: Sequence[str], kinds: Mapping[str, str]) -> None:
    """Raises ConfigError for an input column of pictures."""
    for name in inputs:
        if is_picture(frame[name], kinds.get(name)):
            raise ConfigError(
                f"data.stream: column '{name}' holds pictures, and a table with pictures is not read piece by piece: set data.stream to false. "
                "Where the table holds their bytes and is too large for that, write them to files beside a table of paths: pictures in "
                "files are read one by one"
            )


def refuse_ragged(fit: Prepared) -> None:
    """Raises ConfigError for inputs of several values a row, which shards do not hold."""
    ragged = [
        one.columns[0] for one in fit.encoder.encoders if isinstance(one, FieldEncoder) and one.spec.kind == "tokens"
    ]
    if ragged:
        raise ConfigError(
            f"data.stream: texts as tokens are only read where all rows are in memory, and these are read piece by piece (column '{ragged[0]}'); "
            "set data.stream to false, or data.text.encoding to bag with an encoder of tables"
        )


def of_entry(entry: ShardEntry, targets: Mapping[str, Codec]) -> Prepared:
    """What was kept, ready for training."""
    codecs = {task: type(codec).from_json(entry.kept["codecs"][task]) for task, codec in targets.items()}
    return Prepared(entry.data, TableEncoder.from_json(entry.kept["encoder"]), codecs, entry.kept["report"])


def codecs_json(fit: Prepared) -> dict[str, Any]:
    """{task: its fitted codec as plain JSON}."""
    return {task: codec.to_json() for task, codec in fit.codecs.items()}


def fitted_on_sample(table: LargeTable, seen: Survey, asked: Preparation) -> Prepared:
    """`prepare` on the sampled rows, in the splits they were dealt to."""
    order = np.argsort(seen.where, kind="stable")
    frame = seen.sample[order]
    counts = np.bincount(seen.where, minlength=3).tolist()
    parts = {split: count for split, count in zip(SPLITS, counts, strict=True) if count or split == "train"}
    sample = Table(frame, table.origin, steps=seen.steps, reading=table.reading, parts=parts, manners=seen.found)
    settings = asked.settings
    ready = chosen(sample, asked.targets, asked.inputs, settings.split, settings.weight, asked.task_weights)
    refuse_pictures(frame, ready.inputs, settings.kinds)
    kinds = {name: "identifier" for name in seen.counting if name in ready.inputs} | dict(settings.kinds)
    given = replace(settings, kinds=kinds, split=SplitSettings("files", settings.split.fractions, valid="given"))
    return prepare(sample, replace(asked, inputs=ready.inputs, settings=given, cache=None))


@dataclass(frozen=True)
class Written:
    """What was seen in one piece. splits: {split: rows}. labels: {task: {split: rows with a label}}. classes: {task: {label: training rows}}.

    changes: what the encoders did to cells.
    """

    splits: dict[str, int]
    labels: dict[str, dict[str, int]]
    classes: dict[str, dict[str, int]]
    steps: list[Step]
    changes: Changes
    notes: list[str]


def write_piece(
    writer: ShardWriter, piece: Piece, fit: Prepared, seen: Survey, weight: str | None, task_weights: Mapping[str, str]
) -> Written:
    """Encode the rows of a piece and deal them out."""
    numbers = np.arange(piece.start, piece.start + piece.frame.height, dtype=np.int64)
    frame = numbered(piece.frame, seen.found)
    where = seen.dealer(frame, numbers, piece.split)
    used = [*fit.encoder.columns, *(name for codec in fit.codecs.values() for name in columns_read(codec))]
    frame, steps = finite(frame, list(dict.fromkeys(used)))
    encoded, notes = fit.encoder.encode(frame, places=places_in_sample(numbers, seen))
    fields = {name: one for name, one in encoded.items() if isinstance(one, Field)}  # pictures were refused
    answers: dict[str, Field] = {}
    for task, codec in fit.codecs.items():
        part = frame[columns_read(codec)]
        own = task_weights.get(task)
        answers[task] = replace(
            codec.encode(part),
            weight=None if own is None else some_weights(frame[own], f"task '{task}': weight_column"),
        )
        more = getattr(codec, "notes", None)
        notes += more(part) if callable(more) else []
    weights = None if weight is None else some_weights(frame[weight])
    writer.add(Batch(fields, answers, weights, torch.from_numpy(numbers)), [SPLITS[place] for place in where.tolist()])
    inside = {split: torch.from_numpy(where == place) for place, split in enumerate(SPLITS)}
    return Written(
        {split: int(rows.sum()) for split, rows in inside.items()},
        {
            task: {split: int(field.present[rows].sum()) for split, rows in inside.items()}
            for task, field in answers.items()
        },
        {
            task: class_counts(frame[fit.codecs[task].columns[0]].filter(pl.Series(where == 0)))
            for task, labels in fit.report["labels"].items()
            if "classes" in labels
        },
        steps,
        counted_changes(fit.encoder, frame, np.flatnonzero(where == 0)),
        notes,
    )


def places_in_sample(numbers: np.ndarray[Any, np.dtype[np.int64]], seen: Survey) -> np.ndarray[Any, np.dtype[np.int64]]:
    """[N] where each row stands among the training rows of the sample, -1 for one that was not fitted on."""
    fitted = seen.numbers[seen.where == 0]
    at = np.searchsorted(fitted, numbers).clip(max=len(fitted) - 1)
    return np.where(fitted[at] == numbers, at, -1)


def class_counts(series: pl.Series) -> dict[str, int]:
    """{label: how often it comes}."""
    counts = as_words(series).drop_nulls().alias("label").value_counts(name="count")
    return dict(zip(counts["label"].to_list(), counts["count"].to_list(), strict=True))


class Account:
    """The counts of all pieces together, and the report made from them and from that of the sample."""

    def __init__(self, fit: Prepared, seen: Survey) -> None:
        self.fit, self.seen = fit, seen
        self.splits = dict.fromkeys(SPLITS, 0)
        self.labels = {task: dict.fromkeys(SPLITS, 0) for task in fit.codecs}
        self.classes: dict[str, dict[str, int]] = {}
        self.steps: list[Step] = []
        self.changes: Changes = {}
        self.notes = Notes()

    def add(self, one: Written) -> None:
        """Count a piece."""
        for split, rows in one.splits.items():
            self.splits[split] += rows
        for task, counts in one.labels.items():
            for split, rows in counts.items():
                self.labels[task][split] += rows
        for task, counts in one.classes.items():
            total = self.classes.setdefault(task, {})
            for label, rows in counts.items():
                total[label] = total.get(label, 0) + rows
        self.steps = added([*self.steps, *(replace(step, detail="made missing") if step.step == "infinite cell" else step for step in one.steps)])  # fmt: skip
        for key, (cells, inside) in one.changes.items():
            before = self.changes.get(key, (0, 0))
            self.changes[key] = (before[0] + cells, before[1] + inside)
        self.notes.add(one.notes)

    def check(self, settings: DataSettings) -> None:
        """Raises DataError for a wanted split that stayed empty."""
        given = settings.split.method in ("column", "files")
        for split, share in zip(SPLITS, settings.split.fractions, strict=True):
            if not self.splits[split] and (split == "train" or (share > 0 and not given)):
                raise DataError(
                    f"the {split} split would have no rows ({self.seen.rows} rows, method {settings.split.method}, fractions "
                    f"{list(settings.split.fractions)}); give more rows or groups, other fractions, or fraction 0 to leave the split out"
                )

    def report(self, table: LargeTable, settings: DataSettings, notes: Sequence[str]) -> dict[str, Any]:
        """The report of the sample, with the counts of all rows."""
        report, seen, split = dict(self.fit.report), self.seen, settings.split
        drawn = len(seen.sample)
        splits = {name: rows for name, rows in self.splits.items() if rows}
        whole = {"whitespace stripped", "word for missing", "not a number", "repeated rows", "infinite cell"}
        whole |= {step for step, _, _ in self.changes}
        cleaning = [Step(**one) for one in report["cleaning"] if one["step"] not in whole]
        said = [note for note in report["notes"] if not note.startswith(("no rows were given", "there is no "))]
        if drawn < seen.rows:
            said.insert(
                0,
                f"read piece by piece: kinds, scales, categories and warnings come from {drawn:,} of {seen.rows:,} rows drawn at random "
                "(and a few of every label); repeated rows were looked for among these only",
            )
        said += [f"there is no {name} split" for name in SPLITS if not self.splits[name]]
        report |= {
            "rows": seen.rows,
            "streamed": {"sample": drawn},
            "columns": [self._column(dict(one), settings) for one in report["columns"]],
            "cleaning": [step.to_json() for step in [*seen.steps, *self.steps, *change_steps(self.changes), *cleaning]],
            "splits": splits,
            "method": split.method + (f" by {split.by}" if split.by else "") + ", by hash"
            if split.method in ("random", "stratified", "group")
            else split.method + (f" by {split.by}" if split.by else ""),
            "labels": {task: self._labels(task, dict(one)) for task, one in report["labels"].items()},
            "notes": [*notes, *seen.notes, *said, *self.notes.lines()],
        }
        return dict(plain(report))

    def _column(self, entry: dict[str, Any], settings: DataSettings) -> dict[str, Any]:
        """A column's entry, its missing cells counted in all rows."""
        name = entry["name"]
        if entry["role"] == "ignored" and name == settings.split.by:
            entry["why"] = "splits the rows"
        if name in self.seen.counting and name not in settings.kinds:
            entry["why"] = "counts the rows"
        return entry | {"missing": self.seen.missing[name]}

    def _labels(self, task: str, entry: dict[str, Any]) -> dict[str, Any]:
        """A task's counts of labels, of all rows."""
        entry |= {split: rows for split, rows in self.labels[task].items() if self.splits[split]}
        if task in self.classes:
            ranked = sorted(self.classes[task].items(), key=lambda one: (-one[1], one[0]))[:100]
            entry["classes"] = dict(ranked)
        return entry
