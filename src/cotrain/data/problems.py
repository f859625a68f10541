"""What looks wrong with the data though it can be trained on: said as warnings, one sentence each, with what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import polars as pl
from torch import Tensor

from cotrain.data.clean import Step
from cotrain.data.infer import ENCODED, Column
from cotrain.data.leaks import FEW_CLASSES
from cotrain.data.typed import as_words

FEW_ROWS = 100
MANY_LABELS = 5000


def warnings(
    frame: pl.DataFrame,
    rows: pl.Series,
    *,
    inputs: Sequence[Column],
    targets: Mapping[str, Sequence[str]],
    splits: Mapping[str, Tensor],
    steps: Sequence[Step] = (),
    unclassed: Collection[str] = (),
) -> list[str]:
    """Everything but leaks (rows: their marks): few rows, left-out columns, infinite cells, labels, classes and rows met in two splits.

    unclassed: tasks whose columns hold no classes, whatever few values they have (amounts, times, sets of labels).
    """
    return [
        *few_rows(splits),
        *columns_left_out(inputs),
        *constant_in_training(frame, inputs, splits),
        *infinite(steps),
        *labels(frame, targets),
        *alike(frame, [column.name for column in inputs if column.kind in ("category", "binary")], targets),
        *classes(frame, {task: names for task, names in targets.items() if task not in unclassed}, splits),
        *in_two_splits(rows, splits),
    ]


def few_rows(splits: Mapping[str, Tensor]) -> list[str]:
    """Splits too small for figures to mean much."""
    return [
        f"only {len(rows)} rows in the {name} split: scores will vary a great deal with the seed"
        for name, rows in splits.items()
        if len(rows) < (FEW_ROWS if name == "train" else FEW_ROWS // 5)
    ]


def columns_left_out(inputs: Sequence[Column]) -> list[str]:
    """Columns that are no input because of their kind."""
    found = []
    for kind, what in (
        ("constant", "constant, so they say nothing"),
        ("identifier", "identifiers, so they say nothing about new rows"),
        ("other", "lists or bytes, which have no encoder"),
    ):
        names = [column.name for column in inputs if column.kind == kind]
        if names:
            found.append(f"left out as {what}: {', '.join(names)}; say another kind in data.kinds if that is wrong")
    return found


def constant_in_training(frame: pl.DataFrame, inputs: Sequence[Column], splits: Mapping[str, Tensor]) -> list[str]:
    """Columns that vary in the table but not in the training split, so that nothing can be learnt from them."""
    names = [column.name for column in inputs if column.kind in ENCODED]
    if "train" not in splits or not names:
        return []
    counts = [series.n_unique() for series in frame[names][splits["train"].numpy()]]
    still = [name for name, count in zip(names, counts, strict=True) if count < 2]
    return [f"constant in the training split, so nothing is learnt from them: {', '.join(still)}"] if still else []


def infinite(steps: Sequence[Step]) -> list[str]:
    """Columns with infinite cells."""
    return [
        f"column '{step.column}' has {step.count} infinite cells, {step.detail}; a division by zero where the table was made?"
        for step in steps
        if step.step == "infinite cell"
    ]


def labels(frame: pl.DataFrame, targets: Mapping[str, Sequence[str]]) -> list[str]:
    """Targets that are missing in half of the rows or more, and tasks that have no labelled row in common."""
    found: list[str] = []
    held: dict[str, pl.Series] = {}
    for task, columns in targets.items():
        held[task] = frame[columns[0]].is_not_null()
        for name in columns[1:]:
            held[task] = held[task] | frame[name].is_not_null()
        missing = frame.height - int(held[task].sum())
        if frame.height and missing >= frame.height / 2:
            found.append(
                f"task '{task}' has no label in {missing} of {frame.height} rows ({missing / frame.height:.0%}); "
                "those rows train the other tasks only"
            )
    tasks = list(held)
    for place, one in enumerate(tasks):
        for other in tasks[place + 1 :]:
            if held[one].any() and held[other].any() and not (held[one] & held[other]).any():
                found.append(
                    f"tasks '{one}' and '{other}' have no labelled row in common: they can share features, "
                    "but how they go together in one row cannot be seen"
                )
    return found


def alike(frame: pl.DataFrame, inputs: Sequence[str], targets: Mapping[str, Sequence[str]]) -> list[str]:
    """Columns of words in which labels differ only by letters' case, inner blanks or a dot at the end.

    >>> alike(pl.DataFrame({"y": ["Yes", "yes", "no", "no."]}), [], {"task": ["y"]})[0][:59]
    "column 'y' has labels that differ only by case, blanks or a"
    """
    found = []
    for name in dict.fromkeys([*inputs, *(column for columns in targets.values() for column in columns)]):
        if frame.schema[name] != pl.String:
            continue
        words = frame[name].drop_nulls().unique().alias("word")
        if len(words) > MANY_LABELS:
            continue
        plain = (
            words.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_suffix(".").str.strip_chars().alias("plain")
        )
        twins = (
            pl.DataFrame([words, plain])
            .group_by("plain")
            .agg(pl.col("word").sort())
            .filter(pl.col("word").list.len() > 1)
        )
        if twins.height:
            first = ", ".join(f"'{word}'" for word in twins.sort("plain")["word"][0])
            found.append(
                f"column '{name}' has labels that differ only by case, blanks or a dot at the end ({first}"
                f"{f' and {twins.height - 1} more' if twins.height > 1 else ''}); they count as different labels: "
                "write them alike if they are the same"
            )
    return found


def classes(frame: pl.DataFrame, targets: Mapping[str, Sequence[str]], splits: Mapping[str, Tensor]) -> list[str]:
    """Targets of a few classes with one class in the training split, or with classes the training split never shows."""
    found = []
    for task, columns in targets.items():
        for column in columns:
            series = frame[column]
            if series.dtype.is_nested() or (series.dtype.is_numeric() and series.drop_nulls().n_unique() > FEW_CLASSES):
                continue
            words = as_words(series)
            seen = {name: set(words[rows.numpy()].drop_nulls().to_list()) for name, rows in splits.items()}
            train = seen.get("train", set())
            if len(train) == 1 and words.drop_nulls().n_unique() > 1:
                found.append(
                    f"target '{column}' of task '{task}' has one class in the training split ('{next(iter(train))}'), "
                    "so it cannot be learnt; split: {method: stratified} keeps the shares"
                )
            for name, labels_seen in seen.items():
                new = sorted(labels_seen - train)
                if name != "train" and new and len(train) > 1:
                    shown = ", ".join(f"'{label}'" for label in new[:5])
                    found.append(
                        f"target '{column}' of task '{task}': the {name} split has labels that training never shows ({shown}); "
                        "split: {method: stratified} keeps the shares"
                    )
    return found


def in_two_splits(marks: pl.Series, splits: Mapping[str, Tensor]) -> list[str]:
    """Rows of a later split that are in training too, cell by cell, target included. marks: [N], equal for equal rows."""
    if "train" not in splits:
        return []
    train = marks[splits["train"].numpy()].unique()
    found = []
    for name, rows in splits.items():
        twice = int(marks[rows.numpy()].is_in(train.implode()).sum()) if name != "train" and len(rows) else 0
        if twice:
            found.append(
                f"{twice} of {len(rows)} rows of the {name} split ({twice / len(rows):.1%}) are also in training, every cell "
                "the same; if they are the same case, its score is too good: split by group, or take the repetitions out"
            )
    return found
