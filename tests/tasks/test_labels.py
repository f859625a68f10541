"""Labels: what is one class and what is none, what cannot be, and the way there and back."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotrain.core.errors import ConfigError, DataError
from cotrain.tasks.binary import Binary
from cotrain.tasks.labels import ClassCodec, as_label, as_labels
from cotrain.tasks.multiclass import Multiclass


def frame(values: list[Any], **options: Any) -> pl.DataFrame:
    return pl.DataFrame({"y": pl.Series(values, **options)})


@pytest.mark.parametrize(
    ("values", "options", "labels"),
    [
        ([" a", "a ", "a\t", "", "  ", None], {}, ["a", "a", "a", None, None, None]),
        ([1, 0, None], {}, ["1", "0", None]),
        ([1.0, -0.0, 2.5, None, float("nan"), 1e6], {}, ["1", "0", "2.5", None, None, "1000000"]),
        (["1", "1.0", " 1.00 ", "1.5", "v1.0"], {}, ["1", "1", "1", "1.5", "v1.0"]),
        ([True, False, None], {}, ["1", "0", None]),
        (["a", "b", None], {"dtype": pl.Categorical}, ["a", "b", None]),
        ([None, None], {}, [None, None]),
    ],
)
def test_cells_as_labels(values: list[Any], options: dict[str, Any], labels: list[str | None]) -> None:
    assert as_labels(pl.Series("y", values, **options)).to_list() == labels


def test_one_class_however_it_is_written() -> None:
    codec = Binary("y").refitted(frame(["1", "0"])).codec
    for values in ([1, 0], [1.0, 0.0], ["1", "0"], ["1.0", " 0 "], [True, False]):
        field = codec.encode(frame(values))
        assert field.values.tolist() == [1.0, 0.0]
        assert field.present.all()
    assert as_label(1) == as_label(1.0) == as_label("1") == as_label(True) == as_label(" 1.0 ") == "1"


def test_cells_that_are_no_labels_are_refused() -> None:
    with pytest.raises(DataError, match="should hold labels"):
        Binary("y").refitted(frame([[1], [2]]))


def test_classes_stand_in_the_order_of_numbers_or_of_words() -> None:
    assert Multiclass("y").refitted(frame(["10", "9", "-1"])).codec.classes == ("-1", "9", "10")
    assert Multiclass("y").refitted(frame(["b", "10", "a"])).codec.classes == ("10", "a", "b")


@pytest.mark.parametrize(
    ("found", "yes"),
    [(["no", "yes"], "yes"), (["bad", "good"], "good"), (["1", "-1"], "1"), (["1", "2"], "2"), (["Healthy", "Diseased"], "Diseased"),
     (["f", "t"], "t"), ([">50k", "<=50k"], ">50k")],
)  # fmt: skip
def test_known_words_for_no_decide_which_label_means_yes(found: list[str], yes: str) -> None:
    task = Binary("y").refitted(frame(found))
    assert task.codec.classes[1] == yes
    assert task.codec.encode(frame([yes])).values.tolist() == [1.0]


def test_positive_names_the_labels_that_mean_yes_against_the_rest() -> None:
    task = Binary("y", positive="b").refitted(frame(["a", "b", "c"]))
    assert task.codec.classes == ("not b", "b")
    field = task.codec.encode(frame(["a", "b", "c", None, "new"]))
    assert field.values.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert field.present.tolist() == [True, True, True, False, True]
    several = Binary("y", positive=["b", "c"]).refitted(frame(["a", "b", "c"]))
    assert several.codec.encode(frame(["a", "b", "c"])).values.tolist() == [0.0, 1.0, 1.0]
    assert Binary("y", positive=1).refitted(frame([0.0, 1.0])).codec.classes == ("0", "1")
    assert Binary("y", positive=True).refitted(frame([True, False])).codec.classes == ("0", "1")


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (Binary("y"), ["a", "b", "c"], "expects two classes, found 3: 'a', 'b', 'c'"),
        (Binary("y"), ["a", "a", None], "expected at least two classes in the training rows, found only 'a'"),
        (Binary("y"), [None, "", "  "], "found none"),
        (Binary("y"), [], "found none"),
        (Binary("y", positive="yse"), ["yes", "no"], "positive label 'yse'.*did you mean 'yes'"),
        (Binary("y", positive=["yes", "no"]), ["yes", "no"], "every label is named as positive"),
        (Multiclass("y"), ["a", "a"], "at least two classes"),
        (Multiclass("y", classes=["a", "b"]), ["a", "c"], "labels 'c' that are not among the given classes 'a', 'b'"),
        (Multiclass("y", classes=2), [0, 1, 2], "labels '2' that are not among"),
        (Multiclass("y"), [f"{n / 7:.9f}" for n in range(200)], "too many classes; is this a number"),
    ],
)
def test_labels_that_cannot_be_are_refused_with_task_column_and_cause(
    task: Binary, values: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=f"task 'y' .column 'y'.*{message}"):
        task.refitted(frame(values, dtype=None if values else pl.String))


def test_labels_no_training_row_has_are_missing_and_said() -> None:
    codec = Multiclass("y").refitted(frame(["a", "b", "c"])).codec
    rows = frame(["a", "x", "x", None, "z"])
    assert codec.encode(rows).present.tolist() == [True, False, False, False, False]
    assert codec.notes(rows) == [
        "task 'y': 3 rows have labels that no training row has ('x', 'z'); they count as missing"
    ]
    assert codec.notes(frame(["a", None])) == []


def test_a_codec_that_knows_no_classes_yet_encodes_nothing() -> None:
    with pytest.raises(DataError, match="not known yet"):
        Binary("y").codec.encode(frame(["a"]))


def test_fitting_again_begins_anew_and_keeps_classes_that_were_given() -> None:
    task = Binary("y").refitted(frame(["a", "b"]))
    assert task.refitted(frame(["c", "d"])).codec.classes == ("c", "d")
    assert Multiclass("y", classes=["x", "y", "z"]).refitted(frame(["y", "x"])).codec.classes == ("x", "y", "z")
    assert Multiclass("y", classes=[1.0, " 2 "]).refitted(frame([2, 1])).codec.classes == ("1", "2")


@given(st.lists(st.none() | st.sampled_from(["a", " b ", "1", "2.0", "no", "ü", "None"]), min_size=1, max_size=12))
def test_labels_go_there_and_back_and_so_does_the_codec(values: list[str | None]) -> None:
    rows = frame(values, dtype=pl.String)
    written = as_labels(rows["y"]).to_list()
    if len(set(written) - {None}) < 2:
        return
    codec = Multiclass("y").refitted(rows).codec
    stored = ClassCodec.from_json(json.loads(json.dumps(codec.to_json())))
    assert stored == codec
    field = stored.encode(rows)
    back = [
        label if held else None for label, held in zip(stored.labels(field.values), field.present.tolist(), strict=True)
    ]
    assert back == written


@pytest.mark.parametrize("rows", [0, 1])
def test_tables_of_no_row_and_of_one(rows: int) -> None:
    codec = Multiclass("y").refitted(frame(["a", "b"])).codec
    field = codec.encode(frame(["b"][:rows], dtype=pl.String))
    field.check("y")
    assert field.values.tolist() == [1][:rows]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Binary(""), "name must be a word"),
        (lambda: Binary("y", columns=["a", "b"]), "a target of classes is one column, got"),
        (lambda: Multiclass("y", columns=[]), "columns must be names"),
        (lambda: Binary("y", weight=0), "weight must be a positive finite number, got 0"),
        (lambda: Binary("y", weight=float("nan")), "weight must be"),
        (lambda: Binary("y", metric="acc"), "unknown metric of task 'y' 'acc'; did you mean 'auc'"),
        (lambda: Binary("y", threshold=1.0), "threshold must lie between 0 and 1, got 1.0"),
        (lambda: Binary("y", loss="cross_entropy"), "loss must be a function"),
        (lambda: Binary("y", head="mlp"), "head must be settings with build"),
        (lambda: Multiclass("y", classes=1), "classes must be a number of at least 2"),
        (lambda: Multiclass("y", classes=["a", "a"]), "two different labels"),
        (lambda: Multiclass("y", classes="ab"), "two different labels"),
    ],
)
def test_settings_are_checked_at_the_door(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_bare_word_is_one_column() -> None:
    assert Binary("y", columns="income").codec.columns == ("income",)
    assert Binary("y").codec.columns == ("y",)
