"""A first config for a table and the columns to predict, with what was seen of the data as comments beside each choice."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.data.infer import ENCODED, Column, described, infer
from cotrain.data.read import read_table
from cotrain.data.split import FEWEST

SHOWN = 60
"""So many columns are listed in the comments; the rest is counted."""

_PLAIN = re.compile(r"[A-Za-z_](?:[\w .-]*\w)?", re.ASCII)
_RESERVED = {"true", "false", "null", "~", "yes", "no", "on", "off"}


def quoted(text: str) -> str:
    """A text as YAML: plain where that is safe, else in quotes.

    >>> quoted("worst radius"), quoted("a: b"), quoted("null")
    ('worst radius', '"a: b"', '"null"')
    """
    plain = _PLAIN.fullmatch(text) and text.lower() not in _RESERVED
    return text if plain else json.dumps(text, ensure_ascii=False)


def initial_config(path: str | Path, targets: Sequence[str], *, beside: str | Path = ".") -> str:
    """YAML text of a config that `cotrain check` and `cotrain train` take as it is.

    path: a table or a glob. targets: columns to predict. beside: the folder the config will lie in; its `data.path` is relative to it.
    Raises ConfigError for a target that is no column or cannot be predicted, naming each; DataError for a table that cannot be read
    or has too few rows to be split.
    """
    table = read_table(str(path))
    frame = table.frame
    if not targets:
        raise ConfigError(
            f"expected at least one column to predict, got none; name some with --target: {_listed(frame.columns)}"
        )
    problems = [unknown("target", name, frame.columns) for name in targets if name not in frame.columns]
    problems += [
        f"target '{name}' is given twice; give it once" for name in sorted({n for n in targets if targets.count(n) > 1})
    ]
    if problems:
        nameless = frame.columns == [f"column_{number}" for number in range(1, frame.width + 1)]
        hint = (
            "; the file has no line of names: put one first, or write the config by hand with data.columns"
            if nameless
            else ""
        )
        raise ConfigError("; ".join(problems) + hint)
    if frame.height < FEWEST:
        raise DataError(
            f"at least {FEWEST} rows are needed to train, validate and test, got {frame.height} in '{path}'; is this the right file?"
        )
    columns = infer(frame)
    kinds = {name: _task_kind(columns[name], frame.schema[name]) for name in targets}
    refused = [_refusal(columns[name]) for name, kind in kinds.items() if kind is None]
    if refused:
        raise ConfigError("; ".join(refused))
    inputs = [columns[name] for name in frame.columns if name not in targets]
    said = described(inputs)
    more = [f"... and {len(said) - SHOWN} more columns"] if len(said) > SHOWN else []
    unused = [column.name for column in columns.values() if column.kind not in ENCODED and column.name not in targets]
    where = os.path.relpath(path, beside)
    return "\n".join(
        [
            f"# {frame.height:,} rows, {frame.width} columns. What each input column is taken for:",
            *(f"#   {line}" for line in [*said[:SHOWN], *more]),
            "# Say otherwise under data:, for example kinds: {zip: category}.",
            "",
            "data:",
            f"  path: {quoted(where)}",
            f"  split: {{method: {_method(kinds)}, fractions: [0.7, 0.1, 0.2]}}   # train, valid, test",
            *_split_hint(columns, targets),
            *_inputs(inputs, unused),
            "tasks:",
            *(
                f"  {quoted(name)}: {kind}   # {_seen(frame[name], kind)}{_other(frame[name], kind)}"
                for name, kind in kinds.items()
            ),
            *(_FOR_PICTURES if _pictures(inputs) else _FOR_TABLES),
            "sharing: hard                 # one trunk for all tasks; `cotrain methods sharing` lists others",
            "balance: sum                  # equal weights; `cotrain methods balance` lists others",
            "# train: {time_limit: 2m}     # for each training; `cotrain train --time-limit 5m` says another",
            "seed: 0",
            "",
        ]
    )


_FOR_TABLES = ["preset: good                  # or fast, best: encoder, head and training by the number of rows"]
_FOR_PICTURES = [
    "encoder: {name: convnet, widths: [32, 64, 128], convolutions: 2}   # or resnet18, resnet34, resnet50; `cotrain methods encoders`",
    "train: {epochs: 30, batch_size: 64, optimizer: {lr: 0.002}, schedule: {name: cosine, warmup: 0.1}}",
]


def _pictures(inputs: Sequence[Column]) -> list[str]:
    return [column.name for column in inputs if column.kind == "image"]


def _inputs(inputs: Sequence[Column], unused: Sequence[str]) -> list[str]:
    """The line of inputs: every column, or the first of the pictures where there are some."""
    pictures = _pictures(inputs)
    if not pictures:
        more = f". Not read: {_listed(unused, 6)}" if unused else ""
        return [f'inputs: ["*"]                 # every column that is no target; ["*", "-zip"] leaves one out{more}']
    others = [column.name for column in inputs if column.kind in ENCODED and column.name != pictures[0]]
    more = f"; {_listed(others, 6)} would need an encoder beside it" if others else ""
    return [f"inputs: [{quoted(pictures[0])}]   # one picture a row{more}"]


def _task_kind(column: Column, dtype: pl.DataType) -> str | None:
    if isinstance(dtype, (pl.List, pl.Array)) and not dtype.inner.is_nested():
        return "multilabel"
    return {"number": "regression", "binary": "binary", "category": "multiclass"}.get(column.kind)


def _refusal(column: Column) -> str:
    return (
        f"target '{column.name}' looks like {column.kind} ({column.why}), which no task predicts; "
        "choose another column, or write the config by hand"
    )


def _method(kinds: Mapping[str, str | None]) -> str:
    return "random" if set(kinds.values()) <= {"regression"} else "stratified"


def _split_hint(columns: Mapping[str, Column], targets: Sequence[str]) -> list[str]:
    """Other splits that the columns suggest, as comments."""
    dates = [column.name for column in columns.values() if column.kind == "date" and column.name not in targets]
    if not dates:
        return []
    return [
        f"  # split: {{method: time, by: {quoted(dates[0])}}}   # where the future is to be predicted from the past"
    ]


def _seen(series: pl.Series, kind: str | None) -> str:
    """What the cells of a target look like, in a few words."""
    missing = f", {series.null_count():,} missing" if series.null_count() else ""
    held = series.drop_nulls()
    if kind == "regression":
        numbers = held.cast(pl.Float64, strict=False).drop_nulls()
        low, middle, high = (numbers.quantile(share) for share in (0.0, 0.5, 1.0))
        return f"{low:.4g} to {high:.4g}, median {middle:.4g}{missing}"
    if kind == "multilabel":
        held = held.explode().drop_nulls()
    counts = held.cast(pl.String).value_counts(sort=True)
    shown = [f"{_inline(label)} {count:,}" for label, count in counts.head(4).iter_rows()]
    rest = f" and {counts.height - 4} more" if counts.height > 4 else ""
    return f"{', '.join(shown)}{rest}{missing}"


def _other(series: pl.Series, kind: str | None) -> str:
    """Another kind that a person may prefer, which only they can know: the cells allow it, and nothing more.

    >>> _other(pl.Series([0, 3, 1, 0, 0, 9]), "regression"), _other(pl.Series([3, 1, 2]), "multiclass"), _other(pl.Series([-1.5]), "regression")
    ('; count if these are counted things', '; ordinal if their order means something', '')
    """
    if kind not in ("regression", "multiclass"):
        return ""
    numbers = series.drop_nulls().cast(pl.Float64, strict=False)
    if numbers.null_count() or not len(numbers):
        return ""
    if kind == "multiclass":
        return "; ordinal if their order means something"
    if not numbers.is_between(0, float("inf")).all():
        return ""
    whole = bool((numbers == numbers.round(0)).all())
    if whole and (numbers == 0).any():
        return "; count if these are counted things"
    skewed = float(numbers.mean() or 0.0) > 1.5 * float(numbers.median() or 0.0)  # type: ignore[arg-type]
    return "; positive if these are amounts, whose spread grows with their size" if skewed else ""


def _inline(text: str) -> str:
    return " ".join(text.split())[:30]


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
