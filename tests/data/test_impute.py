"""What stands where a cell is missing: as scikit-learn fills it, fitted on training rows, said and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer

from cotrain.core.errors import ConfigError, DataError
from cotrain.data.categories import KNOWN, MISSING, CategoryEncoder
from cotrain.data.column_settings import ColumnSettings, ImputeSettings, OutlierSettings, ScalingSettings
from cotrain.data.encode import TableEncoder
from cotrain.data.feature_settings import CategorySettings
from cotrain.data.infer import Column
from cotrain.data.numbers import NumberEncoder
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import prepare
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings, SplitSettings

Toys = Callable[..., dict[str, Any]]
CELLS = st.lists(
    st.one_of(st.just(float("nan")), st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)), min_size=1, max_size=15
)
UNSCALED = ScalingSettings("none")


@settings(deadline=None, max_examples=100)
@given(CELLS, CELLS, st.sampled_from(["median", "mean", "most_frequent", "constant"]))
def test_fills_are_those_of_scikit_learn(train: list[float], later: list[float], how: Any) -> None:
    if not np.isfinite(train).any():
        train = [*train, 1.0]
    value = -7.0 if how == "constant" else None
    theirs = SimpleImputer(strategy=how, fill_value=value, add_indicator=True).fit(np.array(train)[:, None])
    encoder = NumberEncoder.fit("x", np.array(train), UNSCALED, ImputeSettings(how, value))
    ours = np.stack(encoder.encode(np.array(later)), 1)
    assert np.allclose(ours, theirs.transform(np.array(later)[:, None]), rtol=1e-6)


def test_a_learned_fill_is_the_weight_of_the_indicator() -> None:
    encoder = NumberEncoder.fit(
        "x", np.array([1.0, 2.0, 9.0, np.nan]), ScalingSettings("min_max"), ImputeSettings("learned")
    )
    number, mark = encoder.encode(np.array([np.nan, 1.0, 9.0]))
    assert number.tolist() == [0.0, 0.0, 1.0]
    assert mark.tolist() == [1.0, 0.0, 0.0]


def test_without_an_indicator_a_missing_cell_is_the_fill_and_nothing_more() -> None:
    encoder = NumberEncoder.fit("x", np.array([1.0, np.nan]), impute=ImputeSettings("mean", indicator=False))
    assert encoder.features == ("x",)
    part = encoder.part(pl.DataFrame({"x": [None, 1.0]}))
    assert part.valid[0] is not None
    assert part.valid[0].tolist() == [False, True]
    assert part.notes == []


def test_missing_cells_that_training_never_had_are_said() -> None:
    encoder = NumberEncoder.fit("x", np.array([1.0, 2.0, 9.0]))
    assert encoder.part(pl.DataFrame({"x": [None, 1.0, None]})).notes == [
        "column 'x': 2 missing cells, which training never had, became the median 2"
    ]


@pytest.mark.parametrize(
    ("how", "label", "codes"),
    [("code", None, [KNOWN, 4, MISSING]), ("most_frequent", None, [KNOWN, 4, KNOWN]), ("constant", "c", [KNOWN, 4, 5]), ("constant", "b", [4, KNOWN, KNOWN])],
)  # fmt: skip
def test_a_missing_label_is_a_code_of_its_own_the_commonest_or_a_word(
    how: Any, label: str | None, codes: list[int]
) -> None:
    series = pl.Series("x", ["a", "a", "a", "b", "b", None, None])
    encoder = CategoryEncoder.fit(series, missing=how, label=label)
    assert encoder.encode(pl.Series("x", ["a", "b", None])).tolist() == codes
    assert CategoryEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder


def test_rows_with_a_missing_cell_leave_training_only(people: pl.DataFrame, toys: Toys) -> None:
    frame = people.with_columns(pl.Series("part", ["train"] * 40 + ["valid"] * 8 + ["test"] * 12))
    split = SplitSettings("column", by="part")
    whole = prepare(read_table(frame), Preparation(targets=toys("score"), settings=DataSettings(split=split)))
    ready = prepare(
        read_table(frame),
        Preparation(targets=toys("score"), settings=DataSettings(split=split, impute=ImputeSettings("drop"))),
    )
    for name in ("valid", "test"):
        assert torch.equal(whole.data.rows(name), ready.data.rows(name))
    gone = frame[:40]["age"].null_count()
    assert set(whole.data.rows("train").tolist()) - set(ready.data.rows("train").tolist()) == set(
        np.flatnonzero(frame[:40]["age"].is_null()).tolist()
    )
    assert "age is missing" not in ready.specs["numbers"].names
    (step,) = [one for one in ready.report["cleaning"] if one["step"] == "rows with a missing cell"]
    assert (step["column"], step["count"]) == ("age", gone)
    assert any(
        "column 'age'" in note and "which training never had, became the median" in note
        for note in ready.report["notes"]
    )
    assert len(ready.data) == 60


def test_single_columns_of_any_kind_may_drop_their_rows(people: pl.DataFrame, toys: Toys) -> None:
    drop = ColumnSettings(impute=ImputeSettings("drop"))
    for name in ("age", "city"):
        ready = prepare(
            read_table(people), Preparation(targets=toys("score"), settings=DataSettings(per_column={name: drop}))
        )
        assert not people[ready.data.rows("train").numpy()][name].has_nulls()
    general = DataSettings(impute=ImputeSettings("drop"))
    ready = prepare(read_table(people), Preparation(targets=toys("score"), settings=general))
    assert people[ready.data.rows("train").numpy()]["city"].has_nulls()


def test_a_training_split_that_would_be_empty_is_refused(people: pl.DataFrame, toys: Toys) -> None:
    frame = people.with_columns(
        pl.when(pl.int_range(60) % 2 == 0).then(1.5).alias("a"), pl.when(pl.int_range(60) % 2 == 1).then(2.5).alias("b")
    )
    drop = DataSettings(impute=ImputeSettings("drop"), kinds={"a": "number", "b": "number"})
    with pytest.raises(DataError, match=r"no row of the 42 in the training split is left after .*\(a\)"):
        prepare(read_table(frame), Preparation(targets=toys("score"), settings=drop))


@pytest.mark.parametrize(
    ("column", "said", "says"),
    [
        ("city", {"impute": ImputeSettings("mean")}, r"data.per_column.city.impute: .* which has no mean"),
        ("city", {"scaling": UNSCALED}, r"per_column.city.scaling: column 'city' is taken for category"),
        ("when", {"impute": ImputeSettings("mean")}, r"per_column.when.impute: column 'when' is a date"),
        ("age", {"categories": CategorySettings(rare=3)}, r"per_column.age.categories: column 'age' is taken for number"),
        ("score", {"impute": ImputeSettings("mean")}, "is no input"),
        ("agee", {"impute": ImputeSettings("mean")}, "did you mean 'age'"),
    ],
)  # fmt: skip
def test_a_setting_that_a_column_does_not_read_is_refused(
    people: pl.DataFrame, toys: Toys, column: str, said: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        prepare(
            read_table(people),
            Preparation(targets=toys("score"), settings=DataSettings(per_column={column: ColumnSettings(**said)})),
        )


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [([], pl.Float64), ([None, None], pl.Float64), ([None], pl.Null), ([7], pl.Int64), ([float("inf"), 1.0], pl.Float64), ([1e308, -1e308, 1e-320], pl.Float64), ([True, False, None], pl.Boolean), ([5e-324], pl.Float64), ([2.0] * 9, pl.Float64)],
)  # fmt: skip
@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile", "min_max", "log", "none"])
@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent", "learned"])
def test_columns_at_the_edge_become_finite_numbers(cells: list[Any], dtype: Any, scaling: Any, impute: Any) -> None:
    frame = pl.DataFrame({"x": pl.Series(cells, dtype=dtype)})
    for outliers in (
        OutlierSettings(),
        OutlierSettings("iqr", "clip"),
        OutlierSettings("quantile", "flag"),
        OutlierSettings("isolation_forest", trees=3),
    ):
        how = DataSettings(scaling=ScalingSettings(scaling), impute=ImputeSettings(impute), outliers=outliers)
        encoder = TableEncoder.fit(frame, [Column("x", "number", "", 0, 0)], how)
        again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
        assert again == encoder
        for rows in (
            frame,
            frame[:0],
            pl.DataFrame({"x": [None, 0.0, 1e300, -1e300, float("nan"), float("-inf"), 3.0]}),
        ):
            field = encoder.encode(rows)[0]["numbers"]
            assert torch.isfinite(field.values).all()
            assert field.values.shape == (rows.height, len(encoder.specs["numbers"].quantiles))
