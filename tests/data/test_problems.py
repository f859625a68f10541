"""What looks wrong is said; what is in order is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cotrain.data.clean import Step, marks
from cotrain.data.infer import infer
from cotrain.data.leaks import auc, leaks
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import prepare
from cotrain.data.problems import alike, classes, few_rows, in_two_splits, infinite, labels
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings, SplitSettings

ROWS = 400
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=ROWS)
YES = (X + RANDOM.normal(size=ROWS) > 0).astype(int)
GRADE = RANDOM.integers(0, 4, ROWS)
PAY = RANDOM.lognormal(size=ROWS)


def found(column: Any, target: Any) -> list[str]:
    frame = pl.DataFrame({"column": column, "target": target})
    number = infer(frame)["column"].kind == "number"
    return leaks(frame, {"column": number}, {"task": ["target"]}, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("column", "target", "says"),
    [
        (YES + RANDOM.normal(size=ROWS) * 0.01, YES, "AUC 1.0000 alone"),
        (-YES - RANDOM.random(ROWS) * 0.5, ["yes" if one else "no" for one in YES], "AUC 1.0000 alone"),
        (2.54 * PAY + 3, PAY, "correlation 1.0000"),
        (-np.exp(PAY), PAY, "rank correlation -1.0000"),
        ([f"grade {one}" for one in GRADE], GRADE, "each of its values goes with one label in 100.00%"),
        (GRADE, [f"grade {one % 2}" for one in GRADE], "each of its values goes with one label"),
        (GRADE + RANDOM.random(ROWS) * 0.1, [f"grade {one}" for one in GRADE], "each label has a range of its own"),
        ([f"shop {one}" for one in GRADE], 100.0 * GRADE + RANDOM.random(ROWS) * 0.1, "explain"),
    ],
)
def test_a_column_that_gives_the_target_away_is_named(column: Any, target: Any, says: str) -> None:
    (warning,) = found(column, target)
    assert "column 'column' gives the target 'target' of task 'task' away" in warning
    assert says in warning
    assert "'-column'" in warning


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (X, YES),
        (PAY + RANDOM.normal(size=ROWS) * 0.3, PAY),
        (GRADE, YES),
        (X, GRADE),
        (np.sort(GRADE) + np.arange(ROWS) % 12, np.sort(GRADE)),
        ([f"user {one}" for one in range(ROWS)], YES),
        ([f"user {one // 2}" for one in range(ROWS)], PAY),
        (X, np.zeros(ROWS, dtype=int)),
        ([None] * (ROWS - 10) + list(YES[-10:]), YES),
        (YES, [0] * (ROWS - 1) + [1]),
        (np.where(np.arange(ROWS) < 10, 3.0, X), [1 if place < 10 else 0 for place in range(ROWS)]),
    ],
)
def test_an_honest_column_is_not_accused(column: Any, target: Any) -> None:
    assert found(column, target) == []


def test_the_area_under_the_curve_agrees_with_scikit_learn() -> None:
    scores = np.round(X, 1)
    assert auc(scores, YES == 1) == pytest.approx(roc_auc_score(YES, scores), abs=1e-12)


def test_labels_missing_in_half_of_the_rows_and_disjoint_tasks_are_said() -> None:
    half = pl.DataFrame({"a": [1.0, None] * 10, "b": [None, 2.0] * 10, "c": [1.0] * 20})
    said = labels(half, {"a": ["a"], "b": ["b"], "c": ["c"]})
    assert [line[:8] for line in said] == ["task 'a'", "task 'b'", "tasks 'a"]
    assert "10 of 20 rows (50%)" in said[0]
    assert "no labelled row in common" in said[2]


def test_one_class_in_training_and_labels_training_never_shows_are_said() -> None:
    frame = pl.DataFrame({"y": ["a"] * 8 + ["b"] * 2, "z": ["a", "b"] * 4 + ["c", "a"]})
    splits = {"train": torch.arange(8), "test": torch.arange(8, 10)}
    said = classes(frame, {"y": ["y"], "z": ["z"]}, splits)
    assert len(said) == 2
    assert "one class in the training split ('a')" in said[0]
    assert "the test split has labels that training never shows ('c')" in said[1]


def test_small_splits_infinite_cells_and_rows_in_two_splits_are_said() -> None:
    assert few_rows({"train": torch.arange(99), "test": torch.arange(20)}) == [
        "only 99 rows in the train split: scores will vary a great deal with the seed"
    ]
    assert (
        "3 infinite cells, first in row 2"
        in infinite([Step("infinite cell", "x", 3, "first in row 2; made missing")])[0]
    )
    rows = marks(pl.DataFrame({"x": [1, 2, 1, 3]}), ["x"])
    (said,) = in_two_splits(rows, {"train": torch.tensor([0, 1]), "test": torch.tensor([2, 3])})
    assert "1 of 2 rows of the test split (50.0%) are also in training" in said
    assert in_two_splits(rows, {"train": torch.tensor([0, 2]), "test": torch.tensor([1, 3])}) == []


def test_the_warnings_of_a_bad_table_come_together(toys: Callable[..., dict[str, Any]]) -> None:
    frame = pl.DataFrame(
        {
            "x": np.where(np.arange(ROWS) == 7, np.inf, X),
            "twin": PAY * 2,
            "one": 1,
            "id": np.arange(ROWS) + 10,
            "review": [f"the {place} th customer was not at all happy" for place in range(ROWS)],
            "pay": PAY,
        }
    )
    ready = prepare(read_table(frame), Preparation(targets=toys("pay")))
    said = "\n".join(ready.warnings)
    for part in ("constant, so they say nothing: one", "identifiers, so they say nothing about new rows: id",
                 "column 'x' has 1 infinite cells, first in row 8", "column 'twin' gives the target 'pay'"):  # fmt: skip
        assert part in said
    assert ready.encoder.columns == ("x", "twin", "review")
    assert torch.isfinite(ready.data.inputs["numbers"].values).all()


def test_a_table_in_order_has_no_warning(toys: Callable[..., dict[str, Any]]) -> None:
    frame = pl.DataFrame({"x": X, "grade": GRADE, "pay": PAY})
    assert prepare(read_table(frame), Preparation(targets=toys("pay"))).warnings == []


def test_labels_that_differ_only_in_how_they_are_written_are_said() -> None:
    frame = pl.DataFrame({"y": ["Yes", "yes", "no", "- 50000.", "50000+."], "x": ["a", "b", "a", "b", "c"]})
    (said,) = alike(frame, ["x"], {"task": ["y"]})
    assert "column 'y'" in said
    assert "('Yes', 'yes')" in said


def test_a_column_constant_in_training_only_is_said(toys: Callable[..., dict[str, Any]]) -> None:
    frame = pl.DataFrame({"x": X, "late": [0.5] * 300 + list(X[300:]), "t": range(ROWS), "pay": PAY})
    ready = prepare(
        read_table(frame), Preparation(targets=toys("pay"), settings=DataSettings(split=SplitSettings("time", by="t")))
    )
    assert [warning for warning in ready.warnings if "constant in the training split" in warning] == [
        "constant in the training split, so nothing is learnt from them: late"
    ]
