"""Several sources whose inputs go through one encoder: fitted on the training rows of all of them, each prepared by itself otherwise.

A column that a source lacks is missing in all its rows. A source's own targets are never its inputs, whatever other sources make of
columns of that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
import polars as pl
import torch

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.data.columns import Training
from cotrain.data.earlier import Earlier
from cotrain.data.encode import TableEncoder
from cotrain.data.infer import ENCODED, Column
from cotrain.data.picture_columns import read_as_said
from cotrain.data.pictures import Read
from cotrain.data.prepare import Fitted, Fitting, Prepared, Preparing
from cotrain.data.settings import DataSettings

OWN = (
    "path", "format", "header", "columns", "separator", "decimal", "encoding", "missing", "keep", "kinds", "split", "drop_duplicates",
    "per_column", "weight", "cache", "stream",
)  # fmt: skip
"""What of `DataSettings` may differ between sources that share an encoder: everything that does not say how columns are encoded."""


def prepare_together(steps: Mapping[str, Preparing], earlier: Earlier | None = None) -> dict[str, Prepared]:
    """{source: its rows, made ready} for preparations begun with `preparing`, in the order of the sources.

    earlier: what an earlier run fitted; what it read is not fitted again.
    Raises DataError where two sources hold other kinds of cells under one name, or are to be encoded in other ways.
    """
    asked: dict[str, Fitting] = {}
    done: dict[str, Prepared] = {}
    for source, one in steps.items():
        try:
            asked[source] = next(one)
        except StopIteration as end:  # found in the cache
            done[source] = end.value
    if not asked:
        return done
    whole = next(iter(done.values())).encoder if done else joint(asked, earlier)
    first = 0
    for source, one in steps.items():
        if source in asked:
            try:
                one.send(Fitted(_of_source(source, whole, asked[source]), first))
            except StopIteration as end:
                done[source] = end.value
        first += done[source].data.count("train")
    return {source: done[source] for source in steps}


def joint(asked: Mapping[str, Fitting], earlier: Earlier | None = None) -> TableEncoder:
    """The encoder of all columns that any of the sources has, fitted on the training rows of all, but for what is kept of an earlier run.

    Raises DataError as `prepare_together`.
    """
    columns = agreed_columns({source: one.columns for source, one in asked.items()})
    settings = agreed_settings({source: one.settings for source, one in asked.items()})
    frames = [one.frame.select(column.name for column in one.columns) for one in asked.values()]
    try:
        frame = pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"the columns of sources {', '.join(asked)} do not fit below each other: {error}; "
            "say their kind under `data.kinds`, or give a source `inputs` of its own"
        ) from error
    sizes = [one.frame.height for one in asked.values()]
    labels: dict[str, Field] = {}
    for place, one in enumerate(asked.values()):
        for task, field in one.training.targets.items():
            parts = [_none(field, size) for size in sizes]
            parts[place] = field
            labels[task] = Field.cat(parts)
    some = next(iter(asked.values()))
    groups = {column: group for one in asked.values() for column, group in (one.groups or {}).items()}
    return TableEncoder.fit(
        frame,
        columns,
        settings,
        training=Training(labels, some.training.seed, joint_pictures(asked, sizes), np.arange(sum(sizes))),
        known=list(dict.fromkeys(name for one in asked.values() for name in one.known)),
        words=list(dict.fromkeys(word for one in asked.values() for word in one.words)),
        manners={name: how for one in reversed(list(asked.values())) for name, how in one.manners.items()},
        before=() if earlier is None else read_as_said(earlier.reused([column.name for column in columns]), settings),
        groups={column.name: groups[column.name] for column in columns} if groups else None,
        texts={column: how for one in asked.values() for column, how in (one.texts or {}).items()},
    )


def joint_pictures(asked: Mapping[str, Fitting], sizes: Sequence[int]) -> dict[str, Read]:
    """{column: what was seen of its pictures in all training rows}, zeros where a source has none.

    Raises DataError where the pictures of two sources were read in other sizes or colours.
    """
    found: dict[str, Read] = {}
    names = dict.fromkeys(name for one in asked.values() for name in one.training.pictures)
    for name in names:
        held = {source: one.training.pictures[name] for source, one in asked.items() if name in one.training.pictures}
        (first, some), *rest = held.items()
        for source, other in rest:
            if other.form != some.form:
                raise DataError(
                    f"pictures of column '{name}' are {some.form} in source '{first}' and {other.form} in source '{source}'; say `size` and "
                    "`channels` once under data.image, or give one of the sources `inputs` of its own"
                )
        sums, squares, present = [], [], []
        for (source, one), size in zip(asked.items(), sizes, strict=True):
            nothing = np.zeros((size, some.sums.shape[1]), dtype=some.sums.dtype)
            rows = one.training.rows
            if source in held and rows is not None:
                sums.append(held[source].sums[rows])
                squares.append(held[source].squares[rows])
                present.append(held[source].field.present[torch.from_numpy(rows)])
            else:
                sums.append(nothing)
                squares.append(nothing)
                present.append(torch.zeros(size, dtype=torch.bool))
        whole = torch.cat(present)
        field = Field(torch.zeros(len(whole), 0), whole)
        found[name] = Read(some.cells, some.form, field, {}, np.concatenate(sums), np.concatenate(squares))
    return found


def agreed_columns(columns: Mapping[str, Sequence[Column]]) -> list[Column]:
    """Every column of any source once, as the sources that can encode it have it. Raises DataError where they take it for other kinds."""
    found: dict[str, tuple[str, Column]] = {}
    wrong = []
    for source, ours in columns.items():
        for column in ours:
            if column.name not in found or found[column.name][1].kind not in ENCODED:
                found[column.name] = (source, column)
                continue
            other, before = found[column.name]
            kinds = {_kind(before), _kind(column)}
            if column.kind in ENCODED and len(kinds) > 1:
                wrong.append(
                    f"column '{column.name}' is taken for {before.kind} in source '{other}' and for {column.kind} in source '{source}'; "
                    f"say which it is (data.kinds: {{{column.name}: {before.kind}}}), or give one of the sources `inputs` of its own"
                )
            elif column.kind == "category":
                found[column.name] = (other, column)
    if wrong:
        raise DataError("\n".join(wrong))
    return [column for _, column in found.values()]


def _kind(column: Column) -> tuple[str, object]:
    return ("category", None) if column.kind == "binary" else (column.kind, column.form)


def agreed_settings(settings: Mapping[str, DataSettings]) -> DataSettings:
    """How the columns of all sources are encoded. Raises DataError where two sources say otherwise."""
    (first, merged), *rest = settings.items()
    for source, one in rest:
        for part in fields(DataSettings):
            if part.name not in OWN and getattr(one, part.name) != getattr(merged, part.name):
                raise DataError(
                    f"sources '{first}' and '{source}' share one encoder, but say other things of `{part.name}`; "
                    "say it once under `data`, or give one of them `inputs` of its own"
                )
        for column, said in one.per_column.items():
            if merged.per_column.get(column, said) != said:
                raise DataError(
                    f"sources '{first}' and '{source}' share one encoder, but say other things of column '{column}' (per_column); "
                    "say it once under `data`, or give one of them `inputs` of its own"
                )
        merged = replace(merged, per_column={**merged.per_column, **one.per_column})
    return merged


def _of_source(source: str, whole: TableEncoder, fitting: Fitting) -> TableEncoder:
    """The common encoder as the rows of one source go through it."""
    read = replace(whole, absent=()).columns
    ours = {column.name for column in fitting.columns}
    absent = tuple(name for name in read if name not in ours)
    if len(absent) == len(read):
        raise DataError(
            f"source '{source}' has none of the columns that are encoded ({', '.join(read[:20])}), so that nothing could be predicted from "
            "its rows; name its inputs"
        )
    return replace(
        whole,
        known=tuple(fitting.known),
        words=tuple(fitting.words),
        manners=tuple(fitting.manners.items()),
        absent=absent,
    )


def _none(field: Field, rows: int) -> Field:
    """So many rows that lack a target."""
    values = field.values.new_zeros((rows if field.offsets is None else 0, *field.values.shape[1:]))
    offsets = None if field.offsets is None else field.offsets.new_zeros(rows + 1)
    return Field(values, torch.zeros(rows, dtype=torch.bool), offsets)
