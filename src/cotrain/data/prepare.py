"""The whole way from a table to encoded rows: columns chosen and typed, cleaned, split, encoders fitted on training rows, stored.

Nothing is decided in silence: the report holds every kind with its reason, every cleaning step with its count, the splits, the
labels and the warnings.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.core.randomness import derive
from cotrain.core.spec import Codec, FieldSpec
from cotrain.core.state import plain
from cotrain.data.account import change_steps, counted_changes, described_columns, label_counts
from cotrain.data.choose import check_columns, chosen, columns_read, target_columns, used_kinds
from cotrain.data.clean import Step, marks, repeated
from cotrain.data.columns import Training
from cotrain.data.decoded import decoded_texts
from cotrain.data.drawn import RowData
from cotrain.data.earlier import Earlier
from cotrain.data.encode import FORMAT, AnyEncoder, TableEncoder
from cotrain.data.feature_settings import TextSettings
from cotrain.data.infer import Column, infer
from cotrain.data.leak_account import all_leaks
from cotrain.data.leaving import staying
from cotrain.data.manners import Manner
from cotrain.data.picture_columns import (
    comparable,
    from_one_folder,
    picture_stamps,
    pictures_beside,
    read_as_said,
    read_pictures,
)
from cotrain.data.preparation import Preparation
from cotrain.data.problems import warnings
from cotrain.data.read import Table, read_given
from cotrain.data.sample import EncodedData
from cotrain.data.settings import DataSettings, SplitSettings
from cotrain.data.split import split_rows
from cotrain.data.store import key_of, load, save


@dataclass(frozen=True)
class Prepared:
    """Encoded rows with all that made them.

    data: the rows, split by split. encoder: of the inputs, for new rows. codecs: {task: fitted codec}. report: plain JSON, the data
    part of a run folder. specs: what a network may know of the inputs.
    """

    data: RowData
    encoder: TableEncoder
    codecs: dict[str, Codec]
    report: dict[str, Any]

    @property
    def specs(self) -> dict[str, FieldSpec]:
        """{field: FieldSpec} of the inputs."""
        return self.encoder.specs

    @property
    def warnings(self) -> list[str]:
        """What looks wrong, one sentence each."""
        return list(self.report["warnings"])


def prepare(table: Table, asked: Preparation) -> Prepared:
    """A table made ready for training: encoders and codecs are fitted on the training split only, kinds are seen in all rows.

    A row is never dropped for a missing target; `drop_duplicates` drops repeated rows from the training split only.

    Raises ConfigError for columns that are not there or named twice over, DataError for cells that cannot be what is said.
    """
    return alone(preparing(table, asked))


Preparing = Generator["Fitting", "Fitted", Prepared]
"""A preparation that stops once, at its training rows, for the encoder that is fitted on them."""


@dataclass(frozen=True)
class Fitting:
    """What an encoder of inputs is to be fitted on, and how: the arguments of `TableEncoder.fit`. The columns of `frame` hold more than inputs."""

    frame: pl.DataFrame
    columns: Sequence[Column]
    settings: DataSettings
    training: Training
    known: Sequence[str]
    words: Sequence[str]
    manners: Mapping[str, Manner]
    before: Sequence[AnyEncoder]
    groups: Mapping[str, str] | None
    texts: Mapping[str, TextSettings] | None

    def encoder(self) -> TableEncoder:
        """Fitted on these rows alone."""
        return TableEncoder.fit(
            self.frame,
            self.columns,
            self.settings,
            training=self.training,
            known=self.known,
            words=self.words,
            manners=self.manners,
            before=self.before,
            groups=self.groups,
            texts=self.texts,
        )


@dataclass(frozen=True)
class Fitted:
    """The encoder that a preparation is given. first: where its first training row stood among all rows the encoder was fitted on."""

    encoder: TableEncoder
    first: int = 0


def alone(steps: Preparing) -> Prepared:
    """A preparation run to its end, the encoder fitted on its own training rows."""
    try:
        fitting = next(steps)
        steps.send(Fitted(fitting.encoder()))
    except StopIteration as end:
        done: Prepared = end.value
        return done
    raise AssertionError("a preparation stops once")


def preparing(table: Table, asked: Preparation, *, beside: str = "") -> Preparing:
    """`prepare`, step by step: it yields what an encoder of inputs is to be fitted on, and goes on with the one it is sent.

    beside: a word for everything else that the encoder will be fitted on, part of the cache's key.
    """
    settings, earlier, cache = asked.settings, asked.earlier, asked.cache
    split = settings.split
    if split.method == "files" and not table.parts:
        table = with_files(table, split)
    table = from_one_folder(table, pictures_beside(table.frame, settings))
    ready = chosen(table, asked.targets, asked.inputs, split, settings.weight, asked.task_weights)
    how = replace(settings, path="", cache=None, stream=False)
    about: tuple[Any, ...] = () if earlier is None else (earlier.digest,)
    kinds = used_kinds(settings.kinds, table.frame.columns, ready)
    stamps = picture_stamps(ready.frame, ready.inputs, settings, kinds, table.folder) if cache is not None else []
    about = (
        *stamps,
        *about,
        *([dict(asked.groups)] if asked.groups else []),
        asked.texts,
        *([beside] if beside else []),
    )
    named = (ready.inputs, asked.targets, how, asked.task_weights, asked.seed, asked.source, *about)
    key = key_for(table, *named) if cache is not None else None
    notes: list[str] = []
    if cache is not None and key is not None:
        entry, wrong = load(cache, key)
        if entry is not None:
            codecs = fitted(asked.targets, ready.frame[entry.data.rows("train").numpy()], ready.frame, earlier)
            encoder = TableEncoder.from_json(entry.kept["encoder"])
            lazy = encoder.lazily(ready.frame, entry.lazy, folder=table.folder)
            return Prepared(entry.data.beside(lazy, list(encoder.specs)), encoder, codecs, entry.kept["report"])
        notes += [wrong] if wrong else []
    frame, undecoded = decoded_texts(ready.frame, settings)
    ready = replace(ready, frame=frame)
    columns = infer(ready.frame, kinds, columns=(*ready.inputs, *target_columns(ready.targets)))
    taken = [columns[name] for name in ready.inputs]
    check_columns(settings, table.frame.columns, taken)
    parts = split_rows(ready.frame, split, seed=asked.seed, targets=target_columns(ready.targets), parts=table.parts)
    splits = dict(parts.rows)
    rows = marks(comparable(ready.frame, taken), [*ready.inputs, *target_columns(ready.targets)])
    steps = [*table.steps, *ready.steps, *undecoded, *without_repeated(rows, splits, settings.drop_duplicates)]
    before = () if earlier is None else read_as_said(earlier.reused(ready.inputs), settings)
    pictures = read_pictures(ready.frame, taken, settings, table.folder, splits["train"].numpy(), before)
    steps += pictures.steps()
    seen, unseen = pictures.staying(splits["train"].numpy())
    splits["train"] = splits["train"][torch.from_numpy(seen)]
    train = ready.frame[splits["train"].numpy()]
    stay, left = staying(train, taken, settings, derive(asked.seed, "outliers"))
    if not stay.all():
        splits["train"], train = splits["train"][torch.from_numpy(stay)], train.filter(pl.Series(stay))
    steps += [*unseen, *left]
    codecs = fitted(asked.targets, train, ready.frame, earlier)
    answers: dict[str, Field] = {}
    told: list[str] = []
    for task, codec in codecs.items():
        part = ready.frame[columns_read(codec)]
        answers[task] = replace(codec.encode(part), weight=ready.task_weights.get(task))
        more = getattr(codec, "notes", None)
        told += more(part) if callable(more) else []
    labels = {task: answer.select(splits["train"]) for task, answer in answers.items()}
    given = yield Fitting(
        train,
        taken,
        settings,
        Training(labels, derive(asked.seed, "encoders"), pictures.found, splits["train"].numpy()),
        table.frame.columns,
        table.reading.words,
        table.manners if earlier is None else {**dict(earlier.encoder.manners), **table.manners},
        before,
        asked.groups,
        asked.texts,
    )
    encoder = given.encoder
    notes += [] if earlier is None else earlier.notes(ready.inputs)
    places = places_of(splits["train"], len(table), given.first)
    fields, said = encoder.encode(ready.frame, places=places, folder=table.folder, made=pictures.fields)
    said += told
    steps += change_steps(counted_changes(encoder, ready.frame, splits["train"].numpy()))
    data = EncodedData(fields, answers, splits=splits, weight=ready.weight, source=asked.source)
    cells = [column for column in taken if column.kind != "image"]
    found = warnings(
        ready.frame,
        rows,
        inputs=cells,
        targets=ready.targets,
        splits=splits,
        steps=ready.steps,
        unclassed=[task for task, codec in codecs.items() if not getattr(codec, "classed", True)],
    )
    found += all_leaks(ready.frame, columns, cells, ready.targets, splits, split.method, derive(asked.seed, "leaks"))
    weighs = {one for one in (settings.weight, *(asked.task_weights or {}).values()) if one is not None}
    report: dict[str, Any] = {
        "origin": table.origin,
        "rows": len(table),
        "columns": described_columns(columns, table.frame, ready, encoder, split, weighs),
        "cleaning": [step.to_json() for step in steps],
        "splits": {name: len(rows) for name, rows in splits.items()},
        "method": split.method + (f" by {split.by}" if split.by else ""),
        "labels": {task: label_counts(ready, task, data, splits) for task in asked.targets},
        "warnings": found,
        "notes": [*table.notes, *notes, *parts.notes, *said],
    }
    report = dict(plain(report))
    if cache is not None and key is not None:
        save(cache, key, data, {"report": report, "encoder": encoder.to_json()})
        entry, _ = load(cache, key)
        data = entry.data.beside(data.lazy, list(fields)) if entry is not None else data
    return Prepared(data, encoder, codecs, report)


def places_of(rows: Tensor, total: int, first: int = 0) -> NDArray[np.int64]:
    """[total] where each row stands among `rows`, the first of which has number `first`; -1 for one that is not there.

    >>> places_of(torch.tensor([1, 3]), 4).tolist()
    [-1, 0, -1, 1]
    """
    places = np.full(total, -1, dtype=np.int64)
    places[rows.numpy()] = np.arange(first, first + len(rows))
    return places


def with_files(table: Table, split: SplitSettings) -> Table:
    """The table with the files given for validation and test below it, read in the same way."""
    files: dict[str, Any] = {"train": table}
    for name in ("valid", "test"):
        path = getattr(split, name)
        if path is not None:
            files[name] = path if isinstance(path, str) else list(path)
    return read_given(files, table.reading)


def fitted(
    targets: Mapping[str, Codec], train: pl.DataFrame, whole: pl.DataFrame, earlier: Earlier | None = None
) -> dict[str, Codec]:
    """{task: codec fitted on the training rows, or that of an earlier run}; every task's problem in one DataError.

    A codec that is at odds with the whole table too is quoted on that one, whose row numbers a person can look up.
    """
    codecs: dict[str, Codec] = {}
    problems: list[str] = []
    known = {} if earlier is None else earlier.codecs
    for task, codec in targets.items():
        if task in known:
            codecs[task] = known[task]
            continue
        try:
            codecs[task] = codec.fit(train[columns_read(codec)])
        except DataError as error:
            said = str(error)
            try:
                codec.fit(whole[columns_read(codec)])
            except DataError as again:
                said = str(again)
            problems.append(said if task in said else f"task '{task}': {said}")
    if problems:
        raise DataError("\n".join(problems))
    return codecs


def without_repeated(rows: pl.Series, splits: dict[str, Tensor], drop: bool) -> list[Step]:
    """Count rows whose mark came before, and take those of them out of `splits["train"]` if asked."""
    again = repeated(rows)
    if not again.any():
        return []
    train = splits["train"]
    copies = torch.from_numpy(repeated(rows[train.numpy()]))
    count = int(copies.sum())
    if drop and count:
        splits["train"] = train[~copies]
        return [
            Step("repeated rows", None, int(again.sum()), f"{count} dropped from the training split, the others kept")
        ]
    return [Step("repeated rows", None, int(again.sum()), f"kept, {count} of them within the training split")]


def key_for(table: Table, *settings: Any) -> str | None:
    """The name of the cache entry for a table and everything that decides how it is encoded; None where it cannot be named."""
    digest = table.digest()
    words = repr(settings)
    if digest is None or " object at 0x" in words:
        return None
    return key_of(FORMAT, digest, table.frame.columns, [str(dtype) for dtype in table.frame.dtypes], words)
