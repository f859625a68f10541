"""`init` writes a config that loads as it is, whatever the columns are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cotrain.core.errors import ConfigError, DataError
from cotrain.data.read import read_table
from cotrain.recipe.check import check
from cotrain.recipe.config import load_config
from cotrain.recipe.initial import initial_config

ROWS = 80


def table(tmp_path: Path, **columns: object) -> Path:
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({"weight": draw.normal(70, 9, ROWS), **columns})
    frame.write_csv(tmp_path / "table.csv")
    return tmp_path / "table.csv"


def written(path: Path, targets: list[str]) -> Path:
    config = path.parent / "made.yaml"
    config.write_text(initial_config(path, targets, beside=path.parent))
    return config


@pytest.mark.parametrize(
    "name", ["no", "null", "a: b", "#1", "größe [m]", "  x", "a*", "- y", "it's", '"q"', "<<", "yes, sir"]
)
def test_columns_may_be_called_anything(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, **{name: np.random.default_rng(1).normal(size=ROWS)})
    read = read_table(path).frame.columns[1]
    assert list(load_config(written(path, [read])).tasks) == [read]


def test_kinds_of_tasks_follow_the_columns(tmp_path: Path) -> None:
    path = table(tmp_path, sex=["f", "m"] * 40, grade=list("abcd") * 20)
    config = load_config(written(path, ["sex", "grade", "weight"]))
    assert [target.kind for target in config.tasks.values()] == ["binary", "multiclass", "regression"]
    assert config.data.split.method == "stratified"
    assert load_config(written(path, ["weight"])).data.split.method == "random"


def test_what_is_seen_stands_beside_the_choice(tmp_path: Path) -> None:
    path = table(tmp_path, sex=[*["f", "m"] * 35, *[None] * 10], code=[f"k{index}" for index in range(ROWS)])
    text = initial_config(path, ["sex"], beside=tmp_path)
    assert "# f 35, m 35, 10 missing" in text
    assert "Not read: code" in text
    assert "80 rows, 3 columns" in text


def test_a_date_suggests_a_split_by_time(tmp_path: Path) -> None:
    days = [f"2024-{1 + index // 28:02d}-{1 + index % 28:02d}" for index in range(ROWS)]
    text = initial_config(table(tmp_path, day=days), ["weight"], beside=tmp_path)
    assert "# split: {method: time, by: day}" in text


def test_all_targets_that_cannot_be_are_named_at_once(tmp_path: Path) -> None:
    path = table(tmp_path, code=[f"k{index}" for index in range(ROWS)], one=[1] * ROWS)
    with pytest.raises(ConfigError, match=r"'code' looks like identifier.*'one' looks like constant"):
        initial_config(path, ["code", "one"])
    with pytest.raises(ConfigError, match=r"'wieght'; did you mean 'weight'.*'weight' is given twice"):
        initial_config(path, ["wieght", "weight", "weight"])


def test_the_path_is_meant_from_the_configs_folder(tmp_path: Path) -> None:
    path = table(tmp_path, sex=["f", "m"] * 40)
    other = tmp_path / "configs"
    other.mkdir()
    (other / "made.yaml").write_text(initial_config(path, ["sex"], beside=other))
    assert Path(str(load_config(other / "made.yaml").data.path)).resolve() == path


def test_other_kinds_are_named_beside_and_not_chosen(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    path = table(
        tmp_path,
        claims=draw.poisson(20 * draw.random(ROWS)),
        grade=[1, 2, 3, 4] * 20,
        cost=draw.lognormal(3, 1.5, ROWS),
        change=draw.normal(size=ROWS),
    )
    text = initial_config(path, ["claims", "grade", "cost", "change"], beside=tmp_path)
    lines = {line.split(":")[0].strip(): line for line in text.splitlines() if line.startswith("  ") and "#" in line}
    assert "regression" in lines["claims"]
    assert "; count if" in lines["claims"]
    assert "multiclass" in lines["grade"]
    assert "; ordinal if" in lines["grade"]
    assert "; positive if" in lines["cost"]
    assert ";" not in lines["change"]


def test_a_column_of_lists_is_a_set_of_labels(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": np.random.default_rng(0).normal(size=ROWS), "tags": [["a", "b"], ["a"]] * (ROWS // 2)})
    frame.write_parquet(tmp_path / "table.parquet")
    text = initial_config(tmp_path / "table.parquet", ["tags"], beside=tmp_path)
    assert "tags: multilabel   # a 80, b 40" in text
    assert load_config(written(tmp_path / "table.parquet", ["tags"])).tasks["tags"].kind == "multilabel"


@pytest.mark.parametrize("rows", [10, 12, 15, 20])
def test_a_config_of_a_dozen_rows_can_be_trained(tmp_path: Path, rows: int) -> None:
    draw = np.random.default_rng(rows)
    frame = pl.DataFrame(
        {
            "weight": draw.normal(70, 9, rows),
            "sex": [("f", "m")[place % 2] for place in range(rows)],
            "grade": [("a", "b", "c")[place % 3] for place in range(rows)],
            "height": draw.normal(1.7, 0.1, rows),
        }
    )
    frame.write_csv(tmp_path / "table.csv")
    for targets in (["sex"], ["grade"], ["height"], ["sex", "grade", "height"]):
        assert check(load_config(written(tmp_path / "table.csv", targets))).problems == ()


def test_a_table_of_a_few_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(DataError, match=r"at least 10 rows are needed .* got 2"):
        initial_config(tmp_path / "table.csv", ["b"])
