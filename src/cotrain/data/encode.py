"""A table's inputs as fields: fitted on the training rows only, kept as JSON, the same for every row that ever comes.

Fields: `numbers` [B, C] float32 (scaled numbers, date parts, indicators of missing cells), with `valid` [B, C] where cells are
missing, `categories` [B, C] int64 and `words` [B, C] float32 (weights of words in texts); a column whose encoder answers a whole field
(`FieldEncoder`) is one of its own, named after it. Where columns stand in groups, the fields of a table are those of each group:
`<group>.numbers` and so on. A new kind of encoder is a file of its own, a row of `ENCODERS` and a line of `fitted`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError, nearest
from cotrain.core.fields import Field
from cotrain.core.randomness import derive
from cotrain.core.spec import FieldSpec
from cotrain.data.blocks import Block, out_of_fold
from cotrain.data.buckets import HashEncoder
from cotrain.data.categories import CategoryEncoder
from cotrain.data.clean import tidy
from cotrain.data.column_settings import Said
from cotrain.data.columns import FIELDS, ColumnEncoder, FieldEncoder, PlacedEncoder, Training
from cotrain.data.date_parts import DateEncoder
from cotrain.data.drawn import LazyField
from cotrain.data.feature_settings import TextSettings
from cotrain.data.forest import ForestEncoder
from cotrain.data.image_encoder import ImageEncoder
from cotrain.data.infer import ENCODED, Column
from cotrain.data.leaving import in_forest
from cotrain.data.manners import Manner, numbered
from cotrain.data.numbers import NumberEncoder, as_floats
from cotrain.data.settings import MISSING, DataSettings
from cotrain.data.target_statistics import TargetEncoder, target_values
from cotrain.data.tokens import TokenEncoder, Tokenizer, tokenizers
from cotrain.data.words import BagEncoder

FORMAT = 8
"""Raised whenever the same table would be split otherwise or encoded into other numbers; part of every cache key and stored file."""

PLAIN = DataSettings()
"""Every column as it is encoded unless a person says otherwise."""

AnyEncoder = ColumnEncoder | FieldEncoder

ENCODERS: tuple[type[AnyEncoder], ...] = (
    NumberEncoder, CategoryEncoder, HashEncoder, TargetEncoder, DateEncoder, BagEncoder, TokenEncoder, ForestEncoder, ImageEncoder,
)  # fmt: skip
_KINDS = {one.kind: one for one in ENCODERS}


def fitted(
    frame: pl.DataFrame,
    column: Column,
    settings: DataSettings,
    training: Training,
    tokenizing: Mapping[str, Tokenizer] | None = None,
) -> list[AnyEncoder]:
    """The encoders of one column, fitted on `frame`, the training rows; none where a column of this kind is no input.

    tokenizing: {column: tokenizer} of the texts that become tokens, which several columns may share.
    """
    series, said = frame[column.name], settings.of(column.name)
    if column.kind == "number":
        return [NumberEncoder.fit(column.name, as_floats(series), said.scaling, said.impute, said.outliers)]
    if column.kind in ("category", "binary"):
        return _of_labels(series, said, training)
    if column.kind == "date":
        return [DateEncoder.fit(series, column.form, parts=said.dates.parts, zone=said.dates.zone)]
    if column.kind == "text":
        text = said.text
        if tokenizing is not None and column.name in tokenizing:
            return [TokenEncoder(column.name, tokenizing[column.name], text.length, text.broken)]
        analyzer = None if text.analyzer == "auto" else text.analyzer
        return [
            BagEncoder.fit(
                series,
                features=text.features,
                ngrams=text.ngrams,
                min_count=text.min_count,
                analyzer=analyzer,
                broken=text.broken,
            )
        ]
    if column.kind == "image":
        pictures = training.pictures.get(column.name)
        if pictures is None or training.rows is None:
            return [ImageEncoder.fit_on(series, said.image)]
        return [ImageEncoder.fit(pictures, training.rows, said.image)]
    return []


def _of_labels(series: pl.Series, how: Said, training: Training) -> list[AnyEncoder]:
    """The encoders of a column of labels: codes, hashes, statistics of the targets, or codes and statistics."""
    said = how.categories
    if how.labels in ("most_frequent", "constant") and said.encoding not in ("auto", "codes"):
        raise DataError(
            f"data.impute.categories: missing labels become the {how.labels} one where labels are codes, and column '{series.name}' is "
            f"encoded as '{said.encoding}'; write code for it, or encoding: codes"
        )
    if said.encoding == "hash":
        return [HashEncoder(series.name, said.buckets)]
    found: list[AnyEncoder] = []
    if said.encoding != "target":
        most = said.most if said.encoding == "auto" else None
        found.append(CategoryEncoder.fit(series, rare=said.rare, most=most, missing=how.labels, label=how.impute.label))
    if said.encoding in ("target", "both"):
        targets = target_values(training.targets)
        if not targets:
            raise DataError(
                f"column '{series.name}': statistics of targets need a target of classes or numbers, and no task has one; "
                "say data.categories: {encoding: codes}"
            )
        found.append(
            TargetEncoder.fit(
                series,
                targets,
                smoothing=said.smoothing,
                folds=said.folds,
                seed=derive(training.seed, "target", series.name),
            )
        )
    return found


def jointly(
    frame: pl.DataFrame, columns: Sequence[Column], settings: DataSettings, training: Training
) -> list[AnyEncoder]:
    """The encoders that read several columns at once, after those of single ones."""
    if settings.outliers.name != "isolation_forest" or settings.outliers.does != "flag" or not frame.height:
        return []
    names = in_forest(columns, settings)
    return [ForestEncoder.fit(frame, names, settings.outliers, training.seed)] if names else []


@dataclass(frozen=True)
class TableEncoder:
    """The encoders of all input columns in order. known: every column the training table had. words: they mean missing.

    manners: ((column, how its numbers were written), ...) of all columns that came as words; later rows that come so are read so.
    groups: ((column, its group), ...) of all input columns, where each group has fields of its own; empty where all stand together.
    absent: columns that these rows never have, though others that go through the same encoders do; they are missing in every row, and a
    field of a group whose columns are all absent is.
    """

    encoders: tuple[AnyEncoder, ...]
    known: tuple[str, ...] = ()
    words: tuple[str, ...] = MISSING
    manners: tuple[tuple[str, Manner], ...] = ()
    groups: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()

    @staticmethod
    def fit(
        frame: pl.DataFrame,
        columns: Sequence[Column],
        settings: DataSettings = PLAIN,
        *,
        training: Training | None = None,
        texts: Mapping[str, TextSettings] | None = None,
        known: Sequence[str] = (),
        words: Sequence[str] = MISSING,
        manners: Mapping[str, Manner] | None = None,
        before: Sequence[AnyEncoder] = (),
        groups: Mapping[str, str] | None = None,
    ) -> TableEncoder:
        """Fitted on the rows of `frame`, which must be training rows. Columns of other kinds than `ENCODED` are left out.

        training: targets of the same rows, for encoders that look at them. before: fitted encoders that come first; what they read is
        not fitted again. groups: {column: group}; no encoder reads two of them. texts: {column: what holds for it if it is a text}, in
        place of what the settings say.
        """
        training = training or Training()
        if groups:
            before = [one for one in before if len({groups.get(name) for name in one.columns}) == 1]
        read = {one.columns[0] for one in before if len(one.columns) == 1}
        new = [column for column in columns if column.name not in read]
        ways = {
            one.name: (texts or {}).get(one.name) or settings.of(one.name).text for one in new if one.kind == "text"
        }
        tokenizing = tokenizers(frame, ways)
        encoders = [
            *before,
            *(one for column in new for one in fitted(frame, column, settings, training, tokenizing)),
        ]
        if not encoders:
            kinds = ", ".join(f"{column.name} ({column.kind})" for column in columns) or "none"
            raise DataError(
                f"at least one input column of kind {', '.join(ENCODED)} is needed, got: {kinds}; "
                "name more inputs, or say another kind in data.kinds"
            )
        of = groups or {}
        for group in dict.fromkeys(of.get(column.name, "") for column in columns):
            own = [column for column in columns if of.get(column.name, "") == group]
            if not any(len(one.columns) > 1 and of.get(one.columns[0], "") == group for one in before):
                encoders += jointly(frame, own, settings, training)
        return TableEncoder(
            tuple(encoders),
            tuple(known) or tuple(frame.columns),
            tuple(words),
            tuple((manners or {}).items()),
            tuple(of.items()),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns a row must have."""
        read = dict.fromkeys(name for one in self.encoders for name in one.columns)
        return tuple(name for name in read if name not in self.absent)

    def completed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows with the columns they never have, missing in every row."""
        return frame.with_columns(pl.lit(None, pl.String).alias(name) for name in self.absent)

    @property
    def specs(self) -> dict[str, FieldSpec]:
        """What a network's encoder may know before it sees a row."""
        tables = {name: self._spec(name, field, group) for name, (field, group) in self._tables().items()}
        own = {one.field: one.spec for one in self.encoders if isinstance(one, FieldEncoder)}
        of = dict(self.groups)
        if of:
            whole = {one.field: one.columns[0] for one in self.encoders if isinstance(one, FieldEncoder)}
            own = {name: replace(spec, group=of[whole[name]]) for name, spec in own.items()}
        return tables | own

    def _place(self, one: ColumnEncoder) -> tuple[str, str]:
        """(the field of `FIELDS` an encoder fills, the group it belongs to)."""
        return one.field, dict(self.groups).get(one.columns[0], "")

    def _tables(self) -> dict[str, tuple[str, str]]:
        """{name of a field of the table: (which of `FIELDS`, its group)}, group after group."""
        ours = {self._place(one) for one in self.encoders if not isinstance(one, FieldEncoder)}
        groups = dict.fromkeys(dict(self.groups).values()) or {"": None}
        return {_named(field, group): (field, group) for group in groups for field in FIELDS if (field, group) in ours}

    def _spec(self, name: str, field: str, group: str) -> FieldSpec:
        ours = [
            one for one in self.encoders if not isinstance(one, FieldEncoder) and self._place(one) == (field, group)
        ]
        names = tuple(chain.from_iterable(one.features for one in ours))
        return FieldSpec(
            FIELDS[field][0],
            names,
            tuple(chain.from_iterable(one.cardinalities for one in ours)),
            (len(names),),
            tuple(chain.from_iterable(one.quantiles for one in ours)),
            group=group,
        )

    def encode(
        self,
        frame: pl.DataFrame,
        *,
        places: NDArray[np.int64] | None = None,
        folder: Path | None = None,
        made: Mapping[str, Field | LazyField] | None = None,
    ) -> tuple[dict[str, Field | LazyField], list[str]]:
        """({field: Field}, notes) of any rows, none of them too. Columns never met are ignored and said.

        places: [B] for rows of the training table: where each stood among the rows the encoder was fitted on, -1 for one that was
        not there; encoders that were shown targets answer the former out of fold. None: all rows are new.
        folder: where the table lies, for cells that name files. made: fields that were made already, as they are.
        A field has `valid` where a cell of these rows is missing.
        Raises DataError, for all columns at once, if one is absent or holds cells of another kind.
        """
        self.check(frame)
        notes = []
        extra = [name for name in frame.columns if name not in self.known]
        if extra:
            notes.append(f"columns not met in training are ignored: {', '.join(extra)}")
        frame, _ = tidy(frame[list(self.columns)], self.words)
        frame = self.completed(numbered(frame, dict(self.manners)))
        specs = self.specs
        blocks = {name: Block(field, specs[name], frame.height) for name, (field, _) in self._tables().items()}
        whole: dict[str, Field | LazyField] = {}
        problems: list[str] = []
        for one in self.encoders:
            try:
                if isinstance(one, FieldEncoder):
                    if made is not None and one.field in made:
                        whole[one.field] = made[one.field]
                        continue
                    placed = one.placed(folder) if isinstance(one, PlacedEncoder) else one
                    whole[one.field], said = placed.whole(frame)
                    notes += said
                    continue
                part = one.part(frame)
                blocks[_named(*self._place(one))].add(
                    part if places is None else out_of_fold(one, frame, part, places), len(one.features)
                )
                notes += part.notes
            except DataError as error:
                problems.append(str(error))
        if problems:
            raise DataError("\n".join(problems))
        tables = {name: block.field() for name, block in blocks.items()}
        for name in self._lacking():
            tables[name] = replace(tables[name], present=torch.zeros(frame.height, dtype=torch.bool))
        return tables | whole, list(dict.fromkeys(notes))

    def _lacking(self) -> list[str]:
        """Fields of groups of a table of which these rows have no column."""
        if not self.groups or not self.absent:
            return []
        read: dict[str, set[str]] = {}
        for column, group in self.groups:
            read.setdefault(group, set()).add(column)
        gone = {group for group, columns in read.items() if columns <= set(self.absent)}
        return [name for name, (_, group) in self._tables().items() if group in gone]

    def lazily(
        self, frame: pl.DataFrame, present: Mapping[str, Tensor], *, folder: Path | None = None
    ) -> dict[str, Field | LazyField]:
        """{field: its pictures, made when rows are taken} of rows encoded before. present: {field: [B] which rows have one}."""
        frame, _ = tidy(frame[list(self.columns)], self.words)
        frame = self.completed(frame)
        images = {one.field: one.placed(folder) for one in self.encoders if isinstance(one, ImageEncoder)}
        return {name: images[name].lazily(images[name].cells(frame), held.numpy()) for name, held in present.items()}

    def check(self, frame: pl.DataFrame) -> None:
        """Raises DataError naming every input column the frame lacks, with the nearest one it has."""
        absent = [name for name in self.columns if name not in frame.columns]
        if absent:
            spare = [name for name in frame.columns if name not in self.columns]
            said = [
                f"'{name}'" + (f" (is '{guess}' meant?)" if (guess := nearest(name, spare)) else "") for name in absent
            ]
            raise DataError(
                f"the columns the model was trained on are expected, missing: {', '.join(said)}; the table has "
                f"{', '.join(frame.columns[:20])}. Rename or add them (empty cells are allowed)"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {
            "format": FORMAT,
            "known": list(self.known),
            "words": list(self.words),
            "manners": dict(self.manners),
            "columns": [one.to_json() for one in self.encoders],
            **({"groups": [list(pair) for pair in self.groups]} if self.groups else {}),
            **({"absent": list(self.absent)} if self.absent else {}),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> TableEncoder:
        """The encoder `to_json` wrote. Raises DataError if another version of cotrain wrote it."""
        if value.get("format") != FORMAT:
            raise DataError(
                f"an encoder of format {FORMAT} is expected, got format {value.get('format')}; "
                "it was written by another version of cotrain: train again, or use that version"
            )
        encoders = tuple(_KINDS[one["kind"]].from_json(one) for one in value["columns"])
        return TableEncoder(
            encoders,
            tuple(value["known"]),
            tuple(value["words"]),
            tuple(value["manners"].items()),
            tuple((column, group) for column, group in value.get("groups", ())),
            tuple(value.get("absent", ())),
        )


def _named(field: str, group: str) -> str:
    return f"{group}.{field}" if group else field
