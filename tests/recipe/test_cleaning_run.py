"""From a file with odd cells to answers for new rows: what was chosen in the config is done, counted and done again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cotrain
from cotrain.recipe.check import check
from cotrain.recipe.config import load_config
from cotrain.recipe.run import DataWarning, train

CONFIG = """
data:
  path: rows.csv
  impute: learned
  outliers: isolation_forest
  scaling: log
  per_column: {age: {impute: drop, outliers: iqr, scaling: min_max}}
tasks: {price: regression, sold: binary}
encoder: {name: mlp, widths: [8]}
train: {epochs: 2, batch_size: 32, early_stopping: null}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    pay = random.lognormal(8, 1, 120)
    lines = ["pay;age;floor;price;sold"]
    for place, one in enumerate(pay):
        words = f"{one:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
        age = "" if place % 20 == 3 else f"{20 + place % 50 + place / 1000:.3f}".replace(".", ",")
        floor = "" if place % 9 == 4 else f"{place % 7},5"
        lines.append(f"{words};{age};{floor};{np.log(one):.2f} €;{'yes' if one > 3000 else 'no'}")
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "rows.yaml").write_text(CONFIG)
    return tmp_path / "rows.yaml"


def test_check_tells_what_was_cleaned_and_how_each_column_is_read(config: Path) -> None:
    found = check(load_config(config))
    assert found.problems == ()
    steps = {(one["step"], one["column"]) for one in found.plan["cleaning"]}
    assert {("rows with a missing cell", "age"), ("missing cell filled", "floor")} <= steps
    assert ("outlying row flagged", "whole table") in steps
    why = {one["column"]: one["why"] for one in found.plan["columns"]}
    assert why["pay"].endswith("log scaling; outlying rows flagged")
    assert why["age"].endswith("min_max scaling, outliers clipped")
    assert why["floor"].endswith("log scaling, missing cells marked; outlying rows flagged")


def test_new_rows_are_cleaned_and_read_as_the_training_rows_were(config: Path, tmp_path: Path) -> None:
    run = train(load_config(config))
    run.save(tmp_path / "run")
    again = cotrain.load(tmp_path / "run")
    (tmp_path / "new.csv").write_text("pay;age;floor\n1.234;30,5;\n99.000;;2,5\n", encoding="utf-8")
    numbers = pl.DataFrame({"pay": [1234.0, 99000.0], "age": [30.5, None], "floor": [None, 2.5]})
    told = "column 'age': 1 missing cells, which training never had, became the median"
    with pytest.warns(DataWarning) as caught:
        read = again.predict(tmp_path / "new.csv")
    assert any(told in str(one.message) for one in caught)
    with pytest.warns(DataWarning) as caught:
        numbered = run.predict(numbers)
    assert any(told in str(one.message) for one in caught)
    assert read.equals(numbered)
