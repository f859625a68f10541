"""Groups and times that a random split tears apart, targets of the next row, sums of two inputs, rows that are almost the same: said,
each with what to do. Clean data are not accused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import datasets

from cotrain.data.infer import infer
from cotrain.data.leak_groups import explained, group_by_name, group_leaks
from cotrain.data.leak_sums import pairs, sum_leaks
from cotrain.data.leak_times import shifted_targets, time_leaks
from cotrain.data.leaks import leaks
from cotrain.data.near_copies import near_copies
from cotrain.data.read import read_table
from cotrain.data.split import split_rows

ROWS = 600
RANDOM = np.random.default_rng(0)


def everything(frame: pl.DataFrame, targets: dict[str, list[str]], inputs: list[str] | None = None) -> list[str]:
    """All findings of this file's tests on a table that is split at random."""
    kinds = infer(frame)
    taken = {name for columns in targets.values() for name in columns}
    names = [name for name in (inputs or frame.columns) if name not in taken]
    splits = split_rows(frame).rows
    numbers = [name for name in names if kinds[name].kind == "number"]
    dates = {name: kinds[name].form for name in names if kinds[name].kind == "date"}
    usable = {name: kinds[name].kind == "number" for name in [*names, *sorted(taken)] if kinds[name].kind in ("number", "category", "binary")}  # fmt: skip
    random = np.random.default_rng(0)
    train = frame[splits["train"].numpy()]
    return [
        *group_leaks(frame, targets, splits, "random"),
        *time_leaks(frame, dates, targets, "random"),
        *shifted_targets(frame, names, targets),
        *sum_leaks(train, numbers, targets, random),
        *near_copies(frame, usable, splits, random),
    ]


# --------------------------------------------------------------------------------------------------------------------- groups


def visits(per: int = 10, alike: float = 1.0) -> pl.DataFrame:
    who = np.repeat(np.arange(ROWS // per), per)
    score = alike * RANDOM.normal(size=ROWS // per)[who] + RANDOM.normal(size=ROWS)
    return pl.DataFrame({"who": who, "x": RANDOM.normal(size=ROWS), "score": score})


@pytest.mark.parametrize("name", ["subject#", "patient_id", "userID", "Participant No", "customer", "speaker"])
def test_rows_of_one_being_on_both_sides_are_said_whatever_the_target(name: str) -> None:
    frame = visits(alike=0.0).rename({"who": name})
    (said,) = group_leaks(frame, {"score": ["score"]}, split_rows(frame).rows, "random")
    assert f"'{name}' names 60 groups, and 100% of the rows of the test split" in said
    assert f"split: {{method: group, by: {name}}}" in said


@pytest.mark.parametrize("name", ["device_id", "store id", "id"])
def test_rows_of_one_thing_are_said_where_their_targets_are_alike(name: str) -> None:
    alike, apart = (visits(alike=size).rename({"who": name}) for size in (1.5, 0.0))
    assert len(group_leaks(alike, {"score": ["score"]}, split_rows(alike).rows, "random")) == 1
    assert group_leaks(apart, {"score": ["score"]}, split_rows(apart).rows, "random") == []


def test_words_shaped_like_an_identifier_are_a_group_where_targets_are_alike() -> None:
    frame = visits(alike=2.0).with_columns(pl.format("P{}", pl.col("who") + 100).alias("who"))
    assert len(group_leaks(frame, {"score": ["score"]}, split_rows(frame).rows, "stratified")) == 1
    classes = frame.with_columns(
        pl.when(pl.col("score") > 0).then(pl.lit("ill")).otherwise(pl.lit("well")).alias("score")
    )
    assert len(group_leaks(classes, {"score": ["score"]}, split_rows(frame).rows, "random")) == 1


def test_a_split_that_looks_at_groups_or_time_is_not_accused() -> None:
    frame = visits().rename({"who": "patient"})
    for method in ("group", "time", "column", "files"):
        assert group_leaks(frame, {"score": ["score"]}, split_rows(frame).rows, method) == []


@pytest.mark.parametrize("name", ["patient age", "user rating", "who", "city", "no of visits", "identity", "video"])
def test_a_name_that_only_mentions_a_being_is_no_group(name: str) -> None:
    assert group_by_name(name) is None
    frame = visits().rename({"who": name})
    assert group_leaks(frame, {"score": ["score"]}, split_rows(frame).rows, "random") == []


def test_a_being_with_a_row_of_its_own_each_is_no_leak() -> None:
    frame = visits(per=1).rename({"who": "patient"})
    assert group_leaks(frame, {"score": ["score"]}, split_rows(frame).rows, "random") == []


def test_what_groups_explain_is_nothing_for_noise_and_all_for_copies() -> None:
    codes = RANDOM.integers(0, 50, ROWS)
    assert abs(explained(codes, RANDOM.normal(size=ROWS))) < 0.1
    assert explained(codes, codes.astype(float)) == pytest.approx(1.0)
    assert explained(np.arange(ROWS), RANDOM.normal(size=ROWS)) == 0.0


# ----------------------------------------------------------------------------------------------------------------------- time


def walk(step: float = 1.0) -> pl.DataFrame:
    when = [datetime(2024, 1, 1) + timedelta(hours=place) for place in range(ROWS)]
    noise = RANDOM.normal(size=ROWS)
    y = np.cumsum(step * RANDOM.normal(size=ROWS)) + noise
    return pl.DataFrame({"when": when, "x": RANDOM.normal(size=ROWS), "y": y, "noise": noise})


def test_a_target_that_goes_steadily_along_a_date_wants_a_split_by_time() -> None:
    frame = walk()
    (said,) = time_leaks(frame, {"when": None}, {"y": ["y"]}, "random")
    assert "'y' is alike in rows that follow each other in time ('when'" in said
    assert "split: {method: time, by: when}" in said
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=0)
    assert len(time_leaks(mixed, {"when": None}, {"y": ["y"]}, "random")) == 1
    classes = frame.with_columns((pl.col("y") > pl.col("y").median()).cast(pl.String).alias("y"))
    assert len(time_leaks(classes, {"when": None}, {"y": ["y"]}, "stratified")) == 1
    assert time_leaks(frame, {"when": None}, {"y": ["y"]}, "time") == []
    more = frame.with_columns(frame["when"].alias(f"copy {place}") for place in range(10))
    (said,) = time_leaks(more, {name: None for name in more.columns if name != "y"}, {"y": ["y"]}, "random")
    assert "('when'" in said
    assert "The same holds along copy 0, copy 1" in said
    assert said.endswith("copy 7, 2 more")


def test_a_drift_is_said_where_the_rows_stand_in_time() -> None:
    frame = walk().with_columns(drift=pl.col("noise") + pl.int_range(pl.len()) / ROWS * 2)
    (said,) = time_leaks(frame, {"when": None}, {"y": ["drift"]}, "random")
    assert "'drift' drifts with time ('when'" in said
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=0)
    assert time_leaks(mixed, {"when": None}, {"y": ["drift"]}, "random") == []


def test_a_date_along_which_nothing_goes_is_not_accused_and_a_birthday_never() -> None:
    assert time_leaks(walk(), {"when": None}, {"y": ["noise"]}, "random") == []
    assert time_leaks(walk().rename({"when": "date of birth"}), {"date of birth": None}, {"y": ["y"]}, "random") == []


@pytest.mark.parametrize("kind", ["numbers", "words"])
def test_the_target_of_the_row_before_or_after_is_found(kind: str) -> None:
    y = pl.Series("y", RANDOM.normal(size=ROWS) if kind == "numbers" else RANDOM.choice(["a", "b", "c"], ROWS))
    frame = pl.DataFrame({"before": y.shift(1), "after": y.shift(-1), "far": y.shift(5), "y": y})
    before, after = shifted_targets(frame, ["before", "after", "far"], {"y": ["y"]})
    assert "column 'before' is the target 'y' of task 'y' one row earlier" in before
    assert "column 'after' is the target 'y' of task 'y' one row later: nobody knows it beforehand" in after


def test_a_target_that_seldom_changes_accuses_nobody() -> None:
    y = pl.Series("y", ["a"] * 300 + ["b"] * 300)
    other = pl.Series("x", ["a"] * 299 + ["b"] * 301)
    assert shifted_targets(pl.DataFrame({"x": other, "y": y}), ["x"], {"y": ["y"]}) == []


# ----------------------------------------------------------------------------------------------------------------------- sums


@pytest.mark.parametrize(
    ("make", "factors"),
    [(lambda a, b: a + b, (1, 1)), (lambda a, b: a - b, (1, -1)), (lambda a, b: 0.5 * a + 3 * b - 7, (0.5, 3))],
)
def test_a_target_made_of_two_inputs_is_found(make: Callable[[Any, Any], Any], factors: tuple[float, float]) -> None:
    a, b, c = RANDOM.lognormal(size=(3, ROWS))
    found = pairs({"c": c, "a": a, "b": b}, make(a, b))
    assert [(one, other) for one, other, _ in found] == [("a", "b")]
    assert found[0][2] == pytest.approx(factors, rel=1e-6)


def test_missing_cells_hide_no_sum_and_a_column_alone_is_no_pair() -> None:
    a, b = RANDOM.normal(size=(2, ROWS))
    holes = np.where(np.arange(ROWS) % 3 == 0, np.nan, a)
    empty = {
        f"e{place}": np.where(np.arange(ROWS) % 12 == place, np.nan, RANDOM.normal(size=ROWS)) for place in range(12)
    }
    assert [one[:2] for one in pairs({"a": holes, "b": b, **empty}, a + b)] == [("a", "b")]
    assert pairs({"a": a, "b": b}, 2 * a + 1) == []
    assert pairs({"a": a, "twin": 2 * a, "b": b}, a + b + 0.05 * RANDOM.normal(size=ROWS)) == []


def test_of_many_columns_those_near_the_target_are_paired() -> None:
    columns = {f"x{place}": RANDOM.normal(size=ROWS) for place in range(200)}
    found = pairs(columns, columns["x50"] + columns["x150"])
    assert [one[:2] for one in found] == [("x50", "x150")]


# --------------------------------------------------------------------------------------------------------------------- copies


def measured(rows: int = ROWS) -> pl.DataFrame:
    return pl.DataFrame(
        {f"x{place}": RANDOM.normal(size=rows) for place in range(6)} | {"word": RANDOM.choice(list("abcd"), rows)}
    )


@pytest.mark.parametrize("change", ["a number", "a word", "all numbers a little"])
def test_rows_that_are_almost_a_training_row_are_counted(change: str) -> None:
    frame = measured()
    copies = frame[:60]
    if change == "a number":
        copies = copies.with_columns(pl.col("x3") + 5.0)
    elif change == "a word":
        copies = copies.with_columns(pl.lit("e").alias("word"))
    else:
        copies = copies.with_columns(pl.selectors.float() + 1e-5)
    whole = pl.concat([frame, copies])
    splits = {"train": torch.arange(ROWS), "test": torch.arange(ROWS - 40, ROWS + 60)[40:]}
    columns = {name: name != "word" for name in whole.columns}
    (said,) = near_copies(whole, columns, splits, np.random.default_rng(0))
    assert int(said.split()[0]) >= 55  # a cell may stand on the edge of a step, or on a common one
    assert "of 60 rows of the test split" in said
    assert "split by group or by time" in said


def test_rows_that_are_the_same_in_every_cell_are_another_tests_affair() -> None:
    frame = measured()
    splits = {"train": torch.arange(ROWS), "test": torch.arange(ROWS, ROWS + 60)}
    columns = {name: name != "word" for name in frame.columns}
    assert near_copies(pl.concat([frame, frame[:60]]), columns, splits, np.random.default_rng(0)) == []
    assert near_copies(measured(660), columns, splits, np.random.default_rng(0)) == []


# ----------------------------------------------------------------------------------------------------------------- clean data


@pytest.mark.parametrize(
    "load", ["load_iris", "load_wine", "load_breast_cancer", "load_diabetes", "load_digits", "load_linnerud"]
)
def test_the_tables_of_scikit_learn_are_not_accused(load: str) -> None:
    data = getattr(datasets, load)()
    names = [f"x{place}" for place in range(data.data.shape[1])]
    frame = pl.DataFrame(dict(zip(names, data.data.T, strict=True)))
    truth = np.asarray(data.target).reshape(len(frame), -1)
    columns = {f"target{place}": [f"target{place}"] for place in range(truth.shape[1])}
    frame = frame.with_columns(pl.Series(name, truth[:, place]) for place, name in enumerate(columns))
    found = everything(frame, columns)
    assert found == []


@pytest.mark.parametrize("seed", range(3))
def test_made_tables_are_not_accused(seed: int) -> None:
    x, y = datasets.make_regression(1000, 12, n_informative=4, noise=5.0, random_state=seed)
    frame = pl.DataFrame({f"x{place}": x[:, place] for place in range(12)} | {"y": y})
    z, label = datasets.make_classification(1000, 10, random_state=seed)
    frame = frame.with_columns(*(pl.Series(f"z{place}", z[:, place]) for place in range(10)), pl.Series("label", label))
    assert everything(frame, {"y": ["y"], "label": ["label"]}) == []


# ------------------------------------------------------------------------------------------------------------------ real data

Find = Callable[[str], Path]


def test_speech_of_the_same_subjects_on_both_sides_is_said(real_data: Find) -> None:
    frame = read_table(real_data("parkinsons_tele/parkinsons_updrs.csv")).frame
    found = everything(frame, {"motor": ["motor_UPDRS"], "total": ["total_UPDRS"]})
    assert len(found) == 1
    assert found[0].startswith("'subject#' names 42 groups, and 100% of the rows of the test split")


def test_bicycles_are_casual_and_registered_riders_and_go_with_time(real_data: Find) -> None:
    frame = read_table(real_data("bike_sharing/hour.csv")).frame
    found = everything(frame, {"count": ["cnt"]})
    assert any("columns 'casual' and 'registered' together give the target 'cnt'" in said for said in found)
    assert any("split: {method: time, by: dteday}" in said for said in found)
    assert len(found) == 2


def test_minutes_of_an_office_lie_on_both_sides(real_data: Find) -> None:
    frame = read_table(str(real_data("occupancy/datatest.txt").parent / "data*.txt")).frame
    found = everything(frame, {"occupied": ["Occupancy"]})
    assert any("split: {method: time, by: date}" in said for said in found)
    numbers = dict.fromkeys(("Temperature", "Humidity", "Light", "CO2", "HumidityRatio"), True)
    (light,) = leaks(frame, numbers, {"occupied": ["Occupancy"]}, np.random.default_rng(0))
    assert light.startswith("column 'Light' gives the target 'Occupancy' of task 'occupied' away (AUC 0.99")


def test_hospitals_and_credit_customers_are_not_accused(real_data: Find) -> None:
    frame = read_table(real_data("heart_disease/heart.csv")).frame
    assert everything(frame, {"num": ["num"], "chol": ["chol"]}) == []
    frame = read_table(real_data("credit_default/credit_default.parquet")).frame
    assert everything(frame, {"default": ["Default"]}) == []
