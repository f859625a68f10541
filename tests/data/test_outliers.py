"""Outliers: bounds and forests as NumPy and scikit-learn find them, from training rows only; later rows are never dropped."""

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
from scipy.stats.mstats import winsorize
from sklearn.ensemble import IsolationForest

from cotrain.core.errors import ConfigError
from cotrain.data.column_settings import ColumnSettings, ImputeSettings, OutlierSettings, ScalingSettings
from cotrain.data.forest import ForestEncoder
from cotrain.data.numbers import NumberEncoder
from cotrain.data.outliers import bounds_of, outside
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, prepare
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings, SplitSettings

Toys = Callable[..., dict[str, Any]]
UNSCALED = ScalingSettings("none")


def test_clipping_at_quantiles_is_winsorising() -> None:
    values = np.random.default_rng(0).lognormal(size=1001)
    encoder = NumberEncoder.fit("x", values, UNSCALED, outliers=OutlierSettings("quantile", low=0.05, high=0.95))
    theirs = np.asarray(winsorize(values, (0.05, 0.05), inclusive=(False, False)))
    assert np.allclose(encoder.encode(values)[0], theirs, rtol=1e-6)


def test_a_fence_stands_one_and_a_half_ranges_from_the_quartiles() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 30.0, -20.0])
    bounds = bounds_of(np.sort(values), OutlierSettings("iqr"))
    assert bounds == (1.5 - 1.5 * 3, 4.5 + 1.5 * 3)
    flagged = NumberEncoder.fit("x", values, outliers=OutlierSettings("iqr", "flag"))
    assert flagged.features == ("x", "x is an outlier")
    assert flagged.encode(np.array([30.0, 3.0, np.nan]))[1].tolist() == [1.0, 0.0, 0.0]


def test_a_column_of_mostly_one_value_has_no_fence() -> None:
    assert bounds_of(np.array([0.0] * 9 + [5.0]), OutlierSettings("iqr")) is None


def test_no_flag_is_made_where_training_has_nothing_to_flag() -> None:
    assert NumberEncoder.fit("x", np.arange(9.0), outliers=OutlierSettings("iqr", "flag")).features == ("x",)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20),
    st.sampled_from([OutlierSettings("iqr"), OutlierSettings("quantile", low=0.1, high=0.8)]),
)
def test_clipping_twice_is_clipping_once_and_bounds_are_finite(values: list[float], how: OutlierSettings) -> None:
    held = np.sort(np.array(values))
    bounds = bounds_of(held, how)
    if bounds is not None:
        assert np.isfinite(bounds).all()
        once = np.clip(held, *bounds)
        assert not outside(once, bounds).any()
    encoder = NumberEncoder.fit("x", held, outliers=how)
    assert NumberEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False))) == encoder


def cloud(rows: int = 400) -> pl.DataFrame:
    random = np.random.default_rng(0)
    frame = pl.DataFrame({name: random.normal(size=rows) for name in "abc"})
    return frame.with_columns(
        pl.when(pl.int_range(rows) % 37 == 0).then(pl.col("a") * 20).otherwise(pl.col("a")).alias("a")
    )


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_forest_flags_the_rows_scikit_learn_flags(share: float) -> None:
    frame, later = cloud(), cloud(90).select(pl.all() * 1.7)
    encoder = ForestEncoder.fit(frame, frame.columns, OutlierSettings("isolation_forest", contamination=share), 3)
    rows = frame.to_numpy().astype(np.float32)
    theirs = IsolationForest(max_samples=256, contamination=share, random_state=3).fit(rows[np.lexsort(rows.T)])
    for part in (frame, later):
        cells = part.to_numpy().astype(np.float32)
        assert np.array_equal(encoder.scores(part), theirs.score_samples(cells))
        assert np.array_equal(encoder.odd(part), theirs.predict(cells) == -1)


def test_a_forest_survives_json_and_does_not_depend_on_the_order_of_rows() -> None:
    frame = cloud()
    how = OutlierSettings("isolation_forest", trees=20)
    encoder = ForestEncoder.fit(frame, frame.columns, how, 0)
    assert ForestEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False))) == encoder
    assert ForestEncoder.fit(frame[::-1], frame.columns, how, 0) == encoder
    assert ForestEncoder.fit(frame, frame.columns, how, 1) != encoder
    missing = frame[:3].with_columns(pl.lit(None, dtype=pl.Float64).alias("b"))
    filled = missing.with_columns(pl.lit(frame["b"].median()).alias("b"))
    assert np.array_equal(encoder.scores(missing), encoder.scores(filled))


def ready(toys: Toys, **how: Any) -> Prepared:
    frame = cloud().with_columns(
        pl.Series("y", np.random.default_rng(1).normal(size=400)),
        pl.Series("part", ["train"] * 300 + ["valid"] * 40 + ["test"] * 60),
    )
    how = {"split": SplitSettings("column", by="part")} | how
    return prepare(read_table(frame), Preparation(targets=toys("y"), settings=DataSettings(**how)))


@pytest.mark.parametrize("name", ["quantile", "iqr", "isolation_forest"])
def test_outlying_rows_are_dropped_from_training_only_and_counted(toys: Toys, name: Any) -> None:
    whole, less = ready(toys), ready(toys, outliers=OutlierSettings(name, "drop"))
    for split in ("valid", "test"):
        assert torch.equal(whole.data.rows(split), less.data.rows(split))
    gone = len(whole.data.rows("train")) - len(less.data.rows("train"))
    steps = [one for one in less.report["cleaning"] if one["step"] == "outlying rows"]
    assert 0 < gone <= sum(step["count"] for step in steps)
    assert [step["column"] for step in steps] == ([None] if name == "isolation_forest" else [*"abc"])
    assert less.specs["numbers"].names == whole.specs["numbers"].names


def test_flags_stand_beside_the_numbers_and_are_counted(toys: Toys) -> None:
    made = ready(toys, outliers=OutlierSettings("isolation_forest", contamination=0.05))
    assert made.specs["numbers"].names == ("a", "b", "c", "row is an outlier")
    flags = made.data.inputs["numbers"].values[:, 3]
    assert int(flags[made.data.rows("train")].sum()) == 15
    (step,) = [one for one in made.report["cleaning"] if one["step"] == "outlying row flagged"]
    assert step["count"] == int(flags.sum())
    assert step["detail"] == "by 100 isolation trees; 15 of them in training"


def test_clipped_cells_are_counted_with_their_bounds(toys: Toys) -> None:
    made = ready(toys, outliers=OutlierSettings("iqr"), per_column={"b": ColumnSettings(outliers=OutlierSettings())})
    steps = {one["column"]: one for one in made.report["cleaning"] if one["step"] == "outlier clipped"}
    assert set(steps) == {"a", "c"}
    assert "outside -" in steps["a"]["detail"]
    assert [one["note"] for one in made.report["columns"]][:3] == [
        "standard scaling, outliers clipped", "standard scaling", "standard scaling, outliers clipped"
    ]  # fmt: skip


def test_a_column_with_a_setting_of_its_own_stays_out_of_the_forest(toys: Toys) -> None:
    made = ready(
        toys, outliers=OutlierSettings("isolation_forest"), per_column={"b": ColumnSettings(outliers=OutlierSettings())}
    )
    (forest,) = [one for one in made.encoder.encoders if isinstance(one, ForestEncoder)]
    assert forest.columns == ("a", "c")


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"name": "iqrr"}, "data.outliers: .*did you mean 'iqr'"),
        ({"name": "iqr", "action": "clop"}, "data.outliers.action: .*did you mean 'clip'"),
        ({"name": "iqr", "low": 0.1}, "data.outliers.low is read by quantile only"),
        ({"action": "clip"}, "data.outliers.action is read by quantile and iqr and isolation_forest only"),
        ({"name": "isolation_forest", "action": "clip"}, "has no bounds to clip"),
        ({"name": "quantile", "low": 0.9, "high": 0.1}, "0 <= low < high <= 1"),
        ({"name": "isolation_forest", "contamination": 0.7}, "contamination"),
        ({"name": "isolation_forest", "trees": 0}, "trees"),
        ({"name": "iqr", "factor": -1.0}, "factor"),
    ],
)
def test_outlier_settings_that_cannot_be_are_refused(said: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        OutlierSettings(**said)
    with pytest.raises(ConfigError, match="looks at all number columns at once"):
        ColumnSettings(outliers=OutlierSettings("isolation_forest"))


@pytest.mark.parametrize("scaling", ["standard", "robust", "min_max", "log", "quantile", "none"])
@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent"])
@pytest.mark.parametrize(
    "cells", [[1.7e308, -1.7e308, 1.0], [1.7e308, 1.7e308, -1.7e308, -1.7e308], [1.79e308, 1.0], [5e-324, -1.7e308]]
)
def test_numbers_near_the_largest_become_finite_ones_without_a_warning(cells: Any, scaling: Any, impute: Any) -> None:
    for outliers in ("none", "iqr", "quantile"):
        made = NumberEncoder.fit(
            "x",
            np.array([*cells, np.nan]),
            ScalingSettings(scaling),
            ImputeSettings(impute),
            OutlierSettings(outliers),  # type: ignore[arg-type]
        )
        part = made.part(pl.DataFrame({"x": [*cells, None]}))
        assert all(np.isfinite(one).all() for one in part.values)
