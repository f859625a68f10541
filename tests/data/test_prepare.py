"""The whole way from a table to encoded rows: fitted on training rows only, nothing dropped or decided in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cotrain.core.errors import ConfigError, DataError
from cotrain.data.column_settings import (
    Action,
    ColumnSettings,
    ImputeSettings,
    OutlierSettings,
    ScalingName,
    ScalingSettings,
)
from cotrain.data.feature_settings import CategorySettings
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, prepare
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings, SplitSettings
from cotrain.data.store import tensors_of

Toys = Callable[..., dict[str, Any]]


def same(one: Prepared, other: Prepared) -> bool:
    a, b = tensors_of(one.data), tensors_of(other.data)
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_a_frame_goes_the_whole_way(people: pl.DataFrame, toys: Toys) -> None:
    ready = prepare(read_table(people), Preparation(targets=toys("score", "ill"), seed=1))
    assert set(ready.specs) == {"numbers", "categories"}
    assert ready.specs["categories"].names == ("city", "smokes")
    assert "when year" in ready.specs["numbers"].names
    batches = list(ready.data.batches("train", 16, seed=0, shuffle=True))
    assert sum(len(batch) for batch in batches) == 42
    for batch in batches:
        batch.check()
        assert set(batch.targets) == {"score", "ill"}
    assert ready.codecs["score"].to_json()["mean"] is not None
    json.dumps(ready.report, allow_nan=False)
    assert ready.report["splits"] == {"train": 42, "valid": 6, "test": 12}
    assert ready.report["labels"]["ill"]["classes"].keys() == {"ill", "well"}
    roles = {column["name"]: column["role"] for column in ready.report["columns"]}
    assert roles == dict.fromkeys(("age", "pay", "city", "smokes", "when"), "input") | {
        "score": "target",
        "ill": "target",
    }


@pytest.mark.parametrize("scaling", get_args(ScalingName))
def test_what_stands_in_other_splits_changes_nothing_that_is_learnt(
    people: pl.DataFrame, toys: Toys, scaling: Any
) -> None:
    parts = pl.Series("part", ["train"] * 40 + ["valid"] * 8 + ["test"] * 12)
    frame = people.with_columns(parts)
    spoiled = frame.with_columns(
        pl.when(pl.col("part") == "train").then(pl.col("age")).otherwise(1e6).alias("age"),
        pl.when(pl.col("part") == "train").then(pl.col("city")).otherwise(pl.lit("Paris")).alias("city"),
        pl.when(pl.col("part") == "train").then(pl.col("when")).otherwise(pl.lit("1999-12-31 00:00:00")).alias("when"),
        pl.when(pl.col("part") == "train").then(pl.col("score")).otherwise(-1e6).alias("score"),
    )
    how = SplitSettings("column", by="part")
    one, other = (
        prepare(
            read_table(table),
            Preparation(
                targets=toys("score"),
                settings=DataSettings(split=how, scaling=ScalingSettings(scaling), kinds={"age": "number"}),
            ),
        )
        for table in (frame, spoiled)
    )
    assert one.encoder == other.encoder
    assert one.codecs == other.codecs
    rows = one.data.rows("train")
    for name, field in one.data.inputs.items():
        assert torch.equal(field.values[rows], other.data.inputs[name].values[rows])


def test_a_row_is_never_dropped_for_a_missing_target(people: pl.DataFrame, toys: Toys) -> None:
    frame = people.with_columns(pl.when(pl.col("pay") < 20).then(None).otherwise(pl.col("score")).alias("score"))
    ready = prepare(read_table(frame), Preparation(targets=toys("score"), inputs=["*", "-pay"]))
    assert len(ready.data) == len(frame)
    assert sum(ready.report["splits"].values()) == len(frame)
    assert ready.data.targets["score"].present.tolist() == frame["score"].is_not_null().to_list()


def test_repeated_rows_are_counted_and_dropped_from_training_only_if_asked(people: pl.DataFrame, toys: Toys) -> None:
    frame = pl.concat([people, people])
    kept = prepare(read_table(frame), Preparation(targets=toys("score"), seed=0))
    dropped = prepare(
        read_table(frame), Preparation(targets=toys("score"), seed=0, settings=DataSettings(drop_duplicates=True))
    )
    assert len(dropped.data) == len(kept.data) == 120
    for split in ("valid", "test"):
        assert torch.equal(kept.data.rows(split), dropped.data.rows(split))
    gone = len(kept.data.rows("train")) - len(dropped.data.rows("train"))
    step = next(step for step in dropped.report["cleaning"] if step["step"] == "repeated rows")
    assert step["count"] == 60
    assert gone > 0
    assert step["detail"].startswith(f"{gone} dropped from the training split")
    assert any("are also in training" in warning for warning in kept.warnings)


def test_columns_that_split_or_weigh_the_rows_are_no_inputs(people: pl.DataFrame, toys: Toys) -> None:
    frame = people.with_columns(pl.Series("who", [place // 3 for place in range(60)]))
    ready = prepare(
        read_table(frame),
        Preparation(targets=toys("score"), settings=DataSettings(split=SplitSettings("group", by="who"), weight="pay")),
    )
    assert set(ready.encoder.columns) == {"age", "city", "smokes", "when", "ill"}
    batch = next(ready.data.batches("test", 4))
    assert batch.weight is not None
    assert torch.allclose(batch.weight, torch.tensor(frame["pay"].to_numpy()[batch.row.numpy()]).float())
    said = {column["name"]: column["why"] for column in ready.report["columns"] if column["role"] == "ignored"}
    assert said == {"who": "splits the rows", "pay": "weighs the rows"}


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"targets": ("scroe",)}, DataError, "task 'scroe': unknown column 'scroe'; did you mean 'score'"),
        ({"inputs": ["agee", "pay"]}, DataError, "inputs: unknown column 'agee'; did you mean 'age'"),
        ({"inputs": ["*", "-pya"]}, DataError, "did you mean 'pay'"),
        ({"inputs": ["age", "score"]}, ConfigError, "'score' is an input and the target of task 'score' at once"),
        ({"inputs": ["-*"]}, ConfigError, "choose no column"),
        ({"settings": DataSettings(weight="pey")}, DataError, "data.weight: unknown column 'pey'; did you mean 'pay'"),
        ({"settings": DataSettings(weight="age")}, DataError, "data.weight: column 'age', row 4: .* got None"),
        (
            {"settings": DataSettings(split=SplitSettings("group", by="cty"))},
            DataError,
            "data.split.by: unknown column 'cty'; did you mean 'city'",
        ),
        ({"settings": DataSettings(kinds={"cty": "category"})}, ConfigError, "did you mean 'city'"),
        (
            {"settings": DataSettings(kinds={"city": "number"})},
            DataError,
            "column 'city', row 1: a number is expected, got 'Rom'",
        ),
        ({"targets": ()}, ConfigError, "at least one task"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_nearest_name(
    people: pl.DataFrame, toys: Toys, settings: dict[str, Any], error: type[Exception], says: str
) -> None:
    settings = {"targets": ("score",)} | settings
    with pytest.raises(error, match=says):
        prepare(read_table(people), Preparation(**(settings | {"targets": toys(*settings["targets"])})))


def test_several_absent_columns_are_named_at_once(people: pl.DataFrame, toys: Toys) -> None:
    with pytest.raises(DataError) as caught:
        prepare(
            read_table(people),
            Preparation(targets=toys("scroe", "il"), inputs=["agge"], settings=DataSettings(weight="pya")),
        )
    assert str(caught.value).count("\n") == 3


def test_files_given_split_by_split_are_encoded_as_such(people: pl.DataFrame, toys: Toys, tmp_path: Path) -> None:
    for name, start, stop in (("train", 0, 40), ("test", 40, 60)):
        people[start:stop].write_csv(tmp_path / f"{name}.csv")
    how = SplitSettings("files", test="test.csv").beside(tmp_path)
    ready = prepare(
        read_table(tmp_path / "train.csv"), Preparation(targets=toys("score"), settings=DataSettings(split=how))
    )
    assert ready.data.rows("test").tolist() == list(range(40, 60))
    assert len(ready.data.rows("valid")) == 5
    assert any("drawn from training" in note for note in ready.report["notes"])


def test_the_same_table_gives_the_same_rows_with_and_without_the_cache(
    people: pl.DataFrame, toys: Toys, tmp_path: Path
) -> None:
    path, cache = tmp_path / "people.csv", tmp_path / "cache"
    people.write_csv(path)
    ways = [
        prepare(read_table(path), Preparation(targets=toys("score"), settings=DataSettings(weight="pay"), cache=where))
        for where in (None, cache, cache)
    ]
    assert len(list(cache.iterdir())) == 1
    for other in ways[1:]:
        assert same(ways[0], other)
        assert other.report == ways[0].report
        assert other.encoder == ways[0].encoder
        assert other.codecs == ways[0].codecs


def test_every_setting_and_every_byte_has_an_entry_of_its_own(people: pl.DataFrame, toys: Toys, tmp_path: Path) -> None:
    path, cache = tmp_path / "people.csv", tmp_path / "cache"
    people.write_csv(path)

    def go(**settings: Any) -> Prepared:
        return prepare(read_table(path), Preparation(**({"targets": toys("score")} | settings), cache=cache))

    said: list[dict[str, Any]] = [
        {"categories": CategorySettings(rare=5)}, {"scaling": ScalingSettings("robust")}, {"weight": "pay"}, {"kinds": {"age": "category"}},
        {"split": SplitSettings(fractions=(0.5, 0.2, 0.3))}, {"per_column": {"city": ColumnSettings(categories=CategorySettings(rare=3))}},
        {"impute": ImputeSettings("mean")}, {"outliers": OutlierSettings("iqr")}, {"outliers": OutlierSettings("iqr", factor=3.0)},
    ]  # fmt: skip
    changes: list[dict[str, Any]] = [
        {}, {"seed": 1}, {"inputs": ["age", "city"]}, {"targets": toys("score", "ill")},
        *({"settings": DataSettings(**one)} for one in said),
    ]  # fmt: skip
    for change in changes:
        go(**change)
    assert len(list(cache.iterdir())) == len(changes)
    people.with_columns(pl.col("pay") + 1).write_csv(path)
    go()
    assert len(list(cache.iterdir())) == len(changes) + 1


def test_a_corrupt_cache_is_said_and_rebuilt(people: pl.DataFrame, toys: Toys, tmp_path: Path) -> None:
    path, cache = tmp_path / "people.csv", tmp_path / "cache"
    people.write_csv(path)
    first = prepare(read_table(path), Preparation(targets=toys("score"), cache=cache))
    whole = prepare(read_table(path), Preparation(targets=toys("score")))
    file = next(cache.glob("*/input.0.*.values.bin"))
    file.write_bytes(b"\0" * file.stat().st_size)
    again = prepare(read_table(path), Preparation(targets=toys("score"), cache=cache))
    assert any("was damaged" in note for note in again.report["notes"])
    assert same(again, whole)
    assert replace(first, report={}).codecs == again.codecs
    assert not any("was damaged" in note for note in whole.report["notes"])


def test_tables_from_memory_leave_no_cache(people: pl.DataFrame, toys: Toys, tmp_path: Path) -> None:
    prepare(read_table(people), Preparation(targets=toys("score"), cache=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_empty_and_tiny_tables_are_refused_in_words(people: pl.DataFrame, toys: Toys) -> None:
    for rows in (0, 1, 5):
        with pytest.raises(DataError, match=f"got {rows}"):
            prepare(read_table(people[:rows]), Preparation(targets=toys("score")))


def test_every_problem_of_the_targets_is_named_at_once(people: pl.DataFrame, toys: Toys) -> None:
    frame = people.with_columns(pl.lit(None, dtype=pl.Float64).alias("a"), pl.lit(None, dtype=pl.Float64).alias("b"))
    with pytest.raises(DataError) as caught:
        prepare(read_table(frame), Preparation(targets=toys("a", "b", "score")))
    assert [line.partition(" has")[0] for line in str(caught.value).splitlines()] == ["column 'a'", "column 'b'"]


def test_rows_come_out_the_same_in_any_order(people: pl.DataFrame, toys: Toys) -> None:
    parts = people.with_columns(pl.Series("part", np.random.default_rng(0).choice(["train", "valid", "test"], 60)))
    order = np.random.default_rng(1).permutation(60)
    how = SplitSettings("column", by="part")
    one = prepare(read_table(parts), Preparation(targets=toys("score"), settings=DataSettings(split=how)))
    other = prepare(read_table(parts[order]), Preparation(targets=toys("score"), settings=DataSettings(split=how)))
    assert one.encoder == other.encoder
    for name, field in one.data.inputs.items():
        assert torch.equal(field.values[torch.from_numpy(order)], other.data.inputs[name].values)


CELLS = st.fixed_dictionaries(
    {
        "x": st.one_of(st.none(), st.floats(-1e9, 1e9)),
        "word": st.one_of(st.none(), st.sampled_from("abcd"), st.text("xyz", max_size=2)),
        "y": st.one_of(st.none(), st.floats(-1e6, 1e6)),
    }
)
TRAIN = st.lists(CELLS, min_size=12, max_size=20).filter(
    lambda rows: len({row["x"] for row in rows}) > 2 and any(row["y"] is not None for row in rows)
)
HOW = st.fixed_dictionaries(
    {
        "categories": st.integers(1, 3).map(lambda rare: CategorySettings(rare=rare)),
        "scaling": st.sampled_from(get_args(ScalingName)).map(ScalingSettings),
        "impute": st.sampled_from(
            [
                *(ImputeSettings(name) for name in ("median", "mean", "most_frequent", "learned")),
                ImputeSettings("constant", -3.0, categories="constant", label="none"),
                ImputeSettings("mean", indicator=False, categories="most_frequent"),
            ]
        ),
        "outliers": st.sampled_from(
            [
                OutlierSettings(),
                *(OutlierSettings(name, action) for name in ("quantile", "iqr") for action in get_args(Action)),
                *(OutlierSettings("isolation_forest", action, trees=5, contamination=0.1) for action in (None, "drop")),
            ]
        ),
    }
)
OTHERS = st.lists(CELLS, min_size=2, max_size=10)


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(TRAIN, OTHERS, OTHERS, HOW)
def test_nothing_learnt_depends_on_rows_outside_training(
    toys: Toys, train: list[Any], some: list[Any], others: list[Any], how: dict[str, Any]
) -> None:
    made = []
    for rest in (some, others):
        part = ["train"] * len(train) + ["valid", *["test"] * (len(rest) - 1)]
        schema = {"x": pl.Float64, "word": pl.String, "y": pl.Float64}
        frame = pl.DataFrame(train + rest, schema=schema).with_columns(pl.Series("part", part))
        made.append(
            prepare(
                read_table(frame),
                Preparation(
                    targets=toys("y"),
                    settings=DataSettings(
                        kinds={"x": "number", "word": "category"},
                        split=SplitSettings("column", by="part"),
                        **how,
                    ),
                ),
            )
        )
    one, other = made
    assert one.encoder == other.encoder
    assert one.codecs == other.codecs
    rows = torch.arange(len(train))
    for group in ("inputs", "targets"):
        for name, field in getattr(one.data, group).items():
            assert torch.equal(field.values[rows], getattr(other.data, group)[name].values[rows])
            assert torch.isfinite(field.values.double()).all()


@pytest.mark.parametrize("name", ["*", "a.b", "-x", "ü [x]", "count", "not"])
def test_any_column_name_goes_the_whole_way(people: pl.DataFrame, toys: Toys, name: str) -> None:
    for column in ("age", "city", "when"):
        frame = people.rename({column: name})
        assert name in prepare(read_table(frame), Preparation(targets=toys("score"))).encoder.columns
    assert (
        prepare(
            read_table(people.rename({"age": name})), Preparation(targets=toys("score"), inputs=[name])
        ).encoder.columns
        == (name,)
        or name == "*"
    )
    assert (
        name
        in prepare(read_table(people.rename({"score": name})), Preparation(targets=toys(name), inputs=["age"])).codecs
    )


def test_a_name_polars_cannot_hold_is_refused(people: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="rename"):
        read_table(people.rename({"age": "^age$"}))
