"""Presets fill in what a config does not say, and nothing else."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cotrain
from cotrain.core.errors import ConfigError
from cotrain.recipe.config import config_from_dict, load_config
from cotrain.recipe.presets import PRESETS, preset, rows_in

TABLE = {"x": np.linspace(-1, 1, 300), "big": (np.linspace(-1, 1, 300) > 0).astype(int)}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("rows", [1, 100, 20_000, 10**7])
def test_a_preset_is_a_config_for_any_number_of_rows(name: str, rows: int) -> None:
    config = config_from_dict({"tasks": {"big": "binary"}, **preset(name, rows)}, table=TABLE)
    assert config.train.time_limit is not None
    assert config.train.epochs >= 5


def test_more_rows_get_larger_steps_and_fewer_rounds() -> None:
    found = [preset("good", rows)["train"] for rows in (100, 10**4, 10**6)]
    assert [one["batch_size"] for one in found] == sorted(one["batch_size"] for one in found)
    assert [one["epochs"] for one in found] == sorted((one["epochs"] for one in found), reverse=True)


def test_what_the_config_says_itself_stays() -> None:
    tree = {
        "tasks": {"big": "binary"},
        "preset": "good",
        "encoder": {"name": "mlp", "widths": [8]},
        "train": {"epochs": 2, "optimizer": {"lr": 0.5}},
    }
    config = config_from_dict(tree, table=TABLE)
    assert (config.encoder.name, config.train.epochs, config.train.optimizer.lr) == ("mlp", 2, 0.5)
    assert config.train.optimizer.weight_decay == preset("good", 300)["train"]["optimizer"]["weight_decay"]
    assert config.train.time_limit == 120
    assert config.head is None  # that of a preset belongs to its encoder
    assert config_from_dict({**tree, "head": "wide_deep"}, table=TABLE).head is not None


def test_another_optimiser_is_not_given_the_presets_settings() -> None:
    config = config_from_dict(
        {"tasks": {"big": "binary"}, "preset": "fast", "train": {"optimizer": "sgd"}}, table=TABLE
    )
    assert config.train.optimizer.name == "sgd"


def test_the_written_config_holds_every_value_and_reads_back_the_same(tmp_path: Path) -> None:
    pl.DataFrame(TABLE).write_csv(tmp_path / "data.csv")
    (tmp_path / "a.yaml").write_text("data: data.csv\npreset: good\ntasks: {big: binary}\n", encoding="utf-8")
    config = load_config(tmp_path / "a.yaml").limited("7s")
    (tmp_path / "data.csv").unlink()
    (tmp_path / "b.yaml").write_text(config.to_yaml(), encoding="utf-8")
    again = load_config(tmp_path / "b.yaml", files=False)
    assert (again.train, again.encoder, again.head, again.preset) == (config.train, config.encoder, config.head, "good")


def test_another_preset_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("preset: good\ntasks: {big: binary}\n", encoding="utf-8")
    assert load_config(tmp_path / "a.yaml", files=False, preset="fast").encoder.name == "mlp"


def test_a_wrong_word_is_answered_with_the_right_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'good'"):
        config_from_dict({"tasks": {"big": "binary"}, "preset": "god"}, table=TABLE)


def test_rows_are_counted_wherever_they_lie(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": range(1234)})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(frame.write_csv().encode()))
    assert rows_in({"path": "a.parquet"}, tmp_path, None) == 1234
    assert rows_in("a.csv", tmp_path, None) == 1235
    assert rows_in({"path": ["a.csv", "b.csv.gz"]}, tmp_path, None) == 2470
    assert rows_in({"path": "nothing.csv"}, tmp_path, None) == 1000
    assert rows_in(None, None, frame) == 1234


def test_fit_takes_a_preset_and_a_time_limit() -> None:
    run = cotrain.fit(TABLE, tasks={"big": "binary"}, preset="fast", time_limit=100, train={"epochs": 8})
    assert run.config.head is not None
    assert run.config.train.time_limit == 100
    assert run.evaluate("test")["big"]["auc"] > 0.9


def test_fit_takes_what_a_config_says_under_data() -> None:
    rows = TABLE | {"code": [1, 2, 3] * 100}
    run = cotrain.fit(
        rows, tasks={"big": "binary"}, prepare={"kinds": {"code": "category"}}, head="linear", train={"epochs": 1}
    )
    assert run.config.data.kinds == {"code": "category"}
    assert run.config.head is not None
    with pytest.raises(ConfigError, match="did you mean 'kinds'"):
        cotrain.fit(rows, tasks={"big": "binary"}, prepare={"kids": {}})
