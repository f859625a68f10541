"""Columns in groups: each group has fields of its own, and an encoder that reads several columns reads those of one group."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from cotrain.data.column_settings import OutlierSettings
from cotrain.data.encode import TableEncoder
from cotrain.data.infer import infer
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import prepare
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings
from cotrain.tasks.regression import Regression

GROUPS = {"age": "person", "city": "person", "rooms": "flat", "size": "flat"}


def table(rows: int = 60) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "age": draw.integers(18, 90, rows),
            "rooms": draw.integers(1, 9, rows),
            "city": draw.choice(["Oslo", "Rome"], rows),
            "size": draw.normal(60, 20, rows).round(1),
            "rent": draw.normal(900, 100, rows).round(1),
        }
    )


def encoder(groups: dict[str, str] | None, settings: DataSettings | None = None) -> TableEncoder:
    frame = table()
    columns = list(infer(frame, {}, columns=tuple(GROUPS)).values())
    return TableEncoder.fit(frame, columns, settings or DataSettings(), groups=groups)


def test_every_group_has_the_fields_of_its_own_columns_in_the_order_of_the_groups() -> None:
    specs = encoder(GROUPS).specs
    assert {name: (one.kind, one.names, one.group) for name, one in specs.items()} == {
        "person.numbers": ("number", ("age",), "person"),
        "person.categories": ("category", ("city",), "person"),
        "flat.numbers": ("number", ("rooms", "size"), "flat"),
    }


def test_groups_hold_the_same_values_as_one_table_and_survive_json() -> None:
    plain, grouped = encoder(None), encoder(GROUPS)
    again = TableEncoder.from_json(json.loads(json.dumps(grouped.to_json())))
    assert again == grouped
    whole, _ = plain.encode(table())
    parts, _ = again.encode(table())
    assert list(parts) == list(grouped.specs)
    at = plain.specs["numbers"].names.index
    for name, columns in (("person.numbers", ["age"]), ("flat.numbers", ["rooms", "size"])):
        assert (parts[name].values == whole["numbers"].values[:, [at(one) for one in columns]]).all()
    assert (parts["person.categories"].values == whole["categories"].values).all()


def test_without_groups_what_is_stored_says_nothing_of_them() -> None:
    assert "groups" not in encoder(None).to_json()


def test_a_forest_of_outliers_looks_at_the_columns_of_one_group_only() -> None:
    settings = DataSettings(outliers=OutlierSettings("isolation_forest"))
    found = encoder(GROUPS, settings)
    assert "row is an outlier" in found.specs["flat.numbers"].names
    frame = table()
    odd = frame.with_columns(age=pl.lit(10_000))
    assert (found.encode(frame)[0]["flat.numbers"].values == found.encode(odd)[0]["flat.numbers"].values).all()


def test_the_cache_tells_tables_with_and_without_groups_apart(tmp_path: Path) -> None:
    table().write_csv(tmp_path / "flats.csv")
    rows = read_table(str(tmp_path / "flats.csv"))
    targets = {"rent": Regression("rent").codec}
    for groups in (None, GROUPS, GROUPS):
        ready = prepare(rows, Preparation(targets=targets, cache=tmp_path / "cache", groups=groups))
        assert set(ready.data.first("train", 2).inputs) == set(ready.specs)
        assert ("numbers" in ready.specs) is (groups is None)
    assert len(list((tmp_path / "cache").iterdir())) == 2
