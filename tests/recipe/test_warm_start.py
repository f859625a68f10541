"""A run that begins with the weights of another one, keeps parts of it, and learns a task more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import cotrain
from cotrain.core.errors import ConfigError, RunError
from cotrain.recipe.check import check
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict
from cotrain.recipe.run import Run, train

QUICK = {"epochs": 4, "batch_size": 32, "early_stopping": None, "optimizer": {"name": "adamw", "lr": 0.02}}
SMALL = {"name": "mlp", "widths": [16, 8]}


def made(rows: int = 160, seed: int = 0) -> pl.DataFrame:
    """Two numbers and a category that decide a yes/no, a class and a number; some cells are missing."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))
    town = random.choice(["Rome", "Oslo", "Lima"], rows)
    shift = np.select([town == "Rome", town == "Oslo"], [1.0, -1.0], 0.0)
    return pl.DataFrame(
        {
            "a": np.where(random.random(rows) < 0.1, np.nan, a),
            "b": b,
            "town": town,
            "bought": np.where(a + shift > 0, "yes", "no"),
            "size": np.select([b < -0.5, b > 0.5], ["small", "large"], "middle"),
            "price": 100 + 20 * (a - b + shift),
        }
    ).with_columns(pl.col("a").fill_nan(None))


OLD: dict[str, Any] = {"bought": {"kind": "binary", "threshold": "tuned"}, "price": "regression"}
ALL: dict[str, Any] = {**OLD, "size": "multiclass"}
INPUTS = ["a", "b", "town"]
KEEP = ["trunk", "heads.bought", "heads.price"]
QUICKER = {**QUICK, "epochs": 2}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "t.csv"
    made().write_csv(path)
    return path


@pytest.fixture(scope="module")
def old(table: Path) -> Run:
    folder = table.parent / "old"
    return cotrain.fit(table, tasks=OLD, inputs=INPUTS, encoder=SMALL, train=QUICK, folder=folder)


def config_of(table: Path, **more: Any) -> Any:
    told = {"data": {"path": str(table), "cache": None}, "inputs": INPUTS, "tasks": ALL, "encoder": SMALL}
    return config_from_dict({**told, **more})


@pytest.mark.parametrize("sharing", ["hard", {"name": "hard", "split": 1}, "mmoe", "film", "adapters", "none"])
def test_a_task_more_leaves_the_answers_of_the_old_ones_as_they_were_bit_for_bit(table: Path, sharing: Any) -> None:
    old = cotrain.fit(table, tasks=OLD, inputs=INPUTS, encoder=SMALL, sharing=sharing, train=QUICKER)
    more = {"size": "multiclass", **OLD} if sharing == "none" else ALL
    new = cotrain.fit(
        table, tasks=more, inputs=INPUTS, encoder=SMALL, sharing=sharing, seed=3,
        train={**QUICK, "warm_start": old, "freeze": KEEP},
    )  # fmt: skip
    rows = made(50, seed=7)
    before, after = old.predict(rows), new.predict(rows)
    assert after[before.columns].equals(before)
    own = {name: one for name, one in new.model.named_parameters() if "of_size" in name}
    assert any(bool((one != 0).any()) for one in own.values())
    assert new.metrics["splits"]["valid"]["size"]["accuracy"] > 0


def test_what_was_taken_and_what_stands_still_is_said(table: Path, old: Run) -> None:
    new = cotrain.fit(
        table, tasks=ALL, inputs=INPUTS, encoder=SMALL, train={**QUICKER, "warm_start": old, "freeze": KEEP}
    )
    notes = "\n".join(new.metrics["notes"])
    assert "new here: heads.size (2)" in notes
    assert "task 'bought' is not trained" in notes
    said = "\n".join(json.loads(json.dumps(new._documents["data.json"]["notes"])))
    assert "columns are encoded as in" in said
    assert "tasks coded as there: bought, price" in said
    assert new.model.tasks["bought"].learnt == old.model.tasks["bought"].learnt, (
        "a task that stands still keeps its threshold"
    )


def test_other_rows_are_encoded_as_the_run_did_and_a_new_column_stands_beside(table: Path, old: Run) -> None:
    rows = made(160, seed=9).with_columns(pl.col("a") * 3 + 5, extra=pl.col("b") * 2)
    new = cotrain.fit(
        rows, tasks=ALL, inputs=["extra", *INPUTS], encoder=SMALL, train={**QUICKER, "warm_start": str(old.folder)}
    )
    kept = [one for one in new._encoder.encoders if one.columns != ("extra",)]
    assert kept == list(old._encoder.encoders)
    assert new._encoder.encoders[-1].columns == ("extra",)
    assert new.model.tasks["price"].codec == old.model.tasks["price"].codec
    assert any("encoded anew: extra" in note for note in new._documents["data.json"]["notes"])


def test_a_stored_run_is_read_and_scored_without_the_run_it_began_with(table: Path, tmp_path: Path) -> None:
    first = cotrain.fit(table, tasks=OLD, inputs=INPUTS, encoder=SMALL, train=QUICKER, folder=tmp_path / "first")
    told = {"train": {**QUICKER, "warm_start": str(first.folder)}}
    second = train(config_of(table, **told), folder=tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    again = cotrain.load(tmp_path / "second")
    assert again.evaluate("test") == second.evaluate("test")


def test_a_resumed_warm_start_gives_the_same_bits(table: Path, old: Run, tmp_path: Path) -> None:
    more = {"train": {**QUICK, "schedule": "constant", "warm_start": str(old.folder), "freeze": ["heads.bought"]}}
    less = {"train": {**more["train"], "epochs": 2}}
    whole = train(config_of(table, **more), folder=tmp_path / "whole")
    train(config_of(table, **less), folder=tmp_path / "parts")
    parts = train(config_of(table, **more), folder=tmp_path / "parts", resume=True)
    for name, value in whole.model.state_dict().items():
        assert not isinstance(value, torch.Tensor) or torch.equal(value, parts.model.state_dict()[name]), name
    assert parts.metrics["notes"] == whole.metrics["notes"]


def test_a_check_says_what_would_be_taken(table: Path, old: Run) -> None:
    found = check(config_of(table, train={"warm_start": str(old.folder), "freeze": ["trunk"]}))
    assert not found.problems
    assert "tensors taken" in found.plan["training"]["begins with"]
    assert found.plan["training"]["frozen"] == "trunk"


def test_another_network_is_refused(table: Path, old: Run) -> None:
    other = {"encoder": {"name": "mlp", "widths": [5]}, "tasks": {"size": "multiclass"}, "inputs": ["a", "b"]}
    problem = check(config_of(table, **other, train={"warm_start": str(old.folder)})).problems[0]
    assert problem.path == "train.warm_start"
    assert "no weight" in problem.message


def test_other_columns_in_the_place_of_the_runs_are_refused(table: Path, old: Run) -> None:
    rows = made().with_columns(c=pl.col("b") * 2)
    with pytest.raises(RunError, match=r"fit, but not what they read: of its numbers b is not"):
        cotrain.fit(
            rows, tasks=OLD, inputs=["a", "c", "town"], encoder=SMALL, train={**QUICKER, "warm_start": str(old.folder)}
        )


def test_a_target_that_is_coded_otherwise_now_is_refused(table: Path, old: Run) -> None:
    tasks = {**OLD, "bought": {"kind": "binary", "positive": "no"}}
    with pytest.raises(ConfigError, match="its target is coded as"):
        cotrain.fit(table, tasks=tasks, inputs=INPUTS, encoder=SMALL, train={**QUICKER, "warm_start": str(old.folder)})


def test_rows_split_otherwise_are_said(table: Path, old: Run) -> None:
    told = {"train": {**QUICKER, "warm_start": str(old.folder)}, "seed": 4}
    new = cotrain.fit(table, tasks=OLD, inputs=INPUTS, encoder=SMALL, **told)
    assert any("can be too good" in note for note in new._documents["data.json"]["notes"])


def test_a_comparison_begins_with_nothing(table: Path, old: Run, tmp_path: Path) -> None:
    config = config_of(table, train={**QUICKER, "warm_start": str(old.folder)})
    with pytest.raises(ConfigError, match=r"train\.warm_start is for a single training"):
        compare(config, folder=tmp_path / "c")


def test_a_stream_is_encoded_as_the_run_did(table: Path, old: Run) -> None:
    data = {"path": str(table), "cache": None, "stream": True}
    new = train(
        config_of(table, data=data, train={**QUICKER, "warm_start": str(old.folder)}), folder=table.parent / "s"
    )
    assert new._encoder.encoders == old._encoder.encoders
