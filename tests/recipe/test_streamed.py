"""Training, scoring, comparing and predicting on files that are read piece by piece."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from cotrain.cli.main import app
from cotrain.core.errors import ConfigError, DataError
from cotrain.core.state import flatten
from cotrain.data import large, pieces, shard_writer, text_pieces
from cotrain.data.large import machine_memory, memory_needed, too_large
from cotrain.data.settings import ReadSettings
from cotrain.recipe import one_source as rows_room
from cotrain.recipe.check import check
from cotrain.recipe.compare import compare
from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.rows import load_rows
from cotrain.recipe.run import DataWarning, fit, load, train

TASKS = {"bought": "binary", "price": "regression"}


def made(rows: int = 1500) -> pl.DataFrame:
    """Two numbers and a town that decide a yes/no and a number; some cells and labels are missing."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, rows)).round(4)
    town = random.choice(["Rome", "Oslo", "Lima"], rows)
    bought = np.where(a + (town == "Rome") > 0, "yes", "no")
    return pl.DataFrame(
        {
            "a": pl.Series(a).set(pl.Series(random.random(rows) < 0.1), None),
            "b": b,
            "town": town,
            "bought": pl.Series(bought).set(pl.Series(np.arange(rows) % 7 == 3), None),
            "price": (100 + 20 * (a - b)).round(3),
        }
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rows.csv, which is read in pieces of about 200 rows into shards of about 100."""
    monkeypatch.setattr(text_pieces, "PIECE", 5_000)
    monkeypatch.setattr(shard_writer, "SHARD_ROWS", 100)
    monkeypatch.chdir(tmp_path)
    made().write_csv(tmp_path / "rows.csv")
    return tmp_path


def config(**changes: Any) -> Config:
    tree: dict[str, Any] = {
        "name": "large",
        "data": {"path": "rows.csv", "stream": True},
        "tasks": TASKS,
        "encoder": {"name": "mlp", "widths": [16]},
        "train": {
            "epochs": 2,
            "batch_size": 32,
            "early_stopping": None,
            "schedule": "constant",
            "optimizer": {"lr": 0.01},
        },
    }
    for key, change in changes.items():
        tree[key] = {**tree[key], **change} if isinstance(change, dict) and key in tree else change
    return config_from_dict(tree)


def test_a_streamed_training_learns_and_its_run_is_scored_again_from_its_folder(place: Path) -> None:
    run = train(config(train={"epochs": 6}))
    scores, constant = run.evaluate("test"), run.metrics["constant"]
    assert scores["bought"]["auc"] > 0.9
    assert scores["price"]["rmse"] < 0.3 * constant["price"]["rmse"]
    again = load(place / "runs" / "large")
    assert again.evaluate("test") == scores
    assert again.evaluate("valid") == run.metrics["splits"]["valid"]
    assert json.loads((place / "runs" / "large" / "data.json").read_text())["streamed"]


def test_a_resumed_training_equals_an_uninterrupted_one(place: Path) -> None:
    train(config(train={"epochs": 1}), folder="parts")
    parts = train(config(train={"epochs": 3}), folder="parts", resume=True)
    straight = train(config(train={"epochs": 3}), folder="straight")
    one, other = (flatten(run.model.state_dict())[0] for run in (parts, straight))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert parts.metrics["splits"] == straight.metrics["splits"]


def test_streamed_and_whole_are_about_as_good(place: Path) -> None:
    scores = [
        train(config(data={"stream": stream}, train={"epochs": 6}), folder=str(stream)).evaluate("test")
        for stream in (True, False)
    ]
    assert scores[0]["bought"]["auc"] == pytest.approx(scores[1]["bought"]["auc"], abs=0.05)


def test_check_says_what_is_streamed_and_its_plan_counts_all_rows(place: Path) -> None:
    found = check(config())
    assert not found.problems
    assert found.plan["rows"]["read"] == 1500
    assert sum(found.plan["rows"][split] for split in ("train", "valid", "test")) == 1500


def test_rows_from_memory_are_not_streamed(place: Path) -> None:
    with pytest.raises(ConfigError, match="rows that are in memory already"):
        load_rows(config_from_dict({"tasks": TASKS, "data": {"stream": True}}, table=made()))
    assert not load_rows(config_from_dict({"tasks": TASKS}, table=made())).data.streamed


def test_fit_leaves_nothing_behind_where_it_streams(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_room, "too_large", lambda *_: True)
    monkeypatch.setattr("tempfile.tempdir", str(place / "scratch"))
    (place / "scratch").mkdir()
    run = fit(
        "rows.csv", tasks=TASKS, train={"epochs": 1, "early_stopping": None}, encoder={"name": "mlp", "widths": [4]}
    )
    assert len(list((place / "scratch").iterdir())) == 1
    assert 0.0 <= run.evaluate("test")["bought"]["auc"] <= 1.0
    del run
    assert list((place / "scratch").iterdir()) == []


def test_what_auto_decided_stays_decided_on_another_machine(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auto = config(data={"stream": "auto"})
    monkeypatch.setattr(rows_room, "too_large", lambda *_: True)
    run = train(auto, folder="run")
    assert len(list(Path(".cotrain-cache").iterdir())) == 1
    monkeypatch.setattr(rows_room, "too_large", lambda *_: False)
    assert load("run").evaluate("test") == run.evaluate("test")
    longer = train(config(data={"stream": "auto"}, train={"epochs": 3}), folder="run", resume=True)
    assert longer.metrics["splits"]["test"].keys() == TASKS.keys()
    assert len(list(Path(".cotrain-cache").iterdir())) == 1


def test_a_comparison_is_made_on_streamed_rows_without_boosting(place: Path) -> None:
    folder = compare(config(train={"epochs": 1}, compare={"seeds": 2}))
    document = json.loads((folder / "compare.json").read_text())
    assert {one["kind"] for one in document["variants"]} == {"single", "joint", "constant"}
    assert "need all rows in memory" in document["left_out"]["boosting"]
    with pytest.raises(DataError, match="intervals draw whole groups"):
        compare(config(data={"split": {"method": "group", "by": "b"}}))


def test_predictions_piece_by_piece_are_those_of_the_whole(place: Path) -> None:
    run = train(config(), folder="run")
    made(1000).drop("bought", "price").with_columns(pl.lit("Bonn").alias("town")).write_csv("new.csv")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", DataWarning)
        frames = list(run.predict_pieces("new.csv"))
    assert len(frames) > 3
    assert len(heard) == 1
    assert "cells never seen in training ('Bonn') (said of" in str(heard[0].message)
    with pytest.warns(DataWarning):
        whole = run.predict("new.csv")
    assert_frame_equal(pl.concat(frames), whole, rel_tol=1e-5, abs_tol=1e-6)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl", "arrow"])
def test_predict_writes_piece_by_piece_what_it_writes_at_once(place: Path, ending: str) -> None:
    train(config(), folder="run")
    frame = made(700).drop("bought", "price")
    frame.write_csv("new.csv")
    result = CliRunner().invoke(app, ["predict", "run", "new.csv", "-o", f"out.{ending}"])
    assert result.exit_code == 0, result.output
    assert "700 rows written" in result.output
    read = {"parquet": pl.read_parquet, "jsonl": pl.read_ndjson, "arrow": pl.read_ipc}.get(
        ending, lambda path: pl.read_csv(path, separator="\t" if ending == "tsv" else ",")
    )
    assert_frame_equal(read(f"out.{ending}"), load("run").predict(frame), rel_tol=1e-5, abs_tol=1e-6)
    assert [path.name for path in place.iterdir() if path.name.endswith(".part")] == []


def test_an_error_in_a_late_piece_writes_nothing_and_says_where(place: Path) -> None:
    train(config(), folder="run")
    frame = made(700).drop("bought", "price")
    frame.with_columns(pl.Series("b", [*frame["b"].cast(pl.String)[:650], *["many"] * 50])).write_csv("new.csv")
    result = CliRunner().invoke(app, ["predict", "run", "new.csv", "-o", "out.parquet"])
    assert result.exit_code == 2
    assert "'many'" in result.output
    assert not Path("out.parquet").exists()
    assert not list(place.glob(".*.part"))


def test_predictions_on_the_terminal_have_one_header(place: Path) -> None:
    train(config(), folder="run")
    made(700).drop("bought", "price").write_csv("new.csv")
    lines = CliRunner().invoke(app, ["predict", "run", "new.csv"]).stdout.splitlines()
    assert len(lines) == 701
    assert sum(line.startswith("bought,") for line in lines) == 1


def test_what_a_file_takes_in_memory_grows_with_its_rows(place: Path) -> None:
    reading = ReadSettings()
    frame = made(20_000)
    for ending, write in (("csv", frame.write_csv), ("parquet", frame.write_parquet), ("jsonl", frame.write_ndjson)):
        path = place / f"a.{ending}"
        write(path)
        assert frame.estimated_size() < memory_needed([path], reading) < 20 * frame.estimated_size()
        assert memory_needed([path, path], reading) == 2 * memory_needed([path], reading)
        needed = memory_needed([path], reading)
        assert too_large([path], reading, memory=int(needed / large.SHARE) - 8)
        assert not too_large([path], reading, memory=int(needed / large.SHARE) + 8)
    assert memory_needed([place / "absent.csv"], reading) == 0
    np.savez(place / "a.npz", x=np.zeros(1000))
    assert not too_large([place / "a.npz"], reading, memory=1)
    assert (machine_memory() or 2**30) > 2**27
    assert "npz" not in pieces.STREAMED
