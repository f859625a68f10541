"""A box as a target, the whole way: fit, evaluate, predict in the columns' units, save, load, compare with trees."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import cotrain
from cotrain.losses import ciou
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict
from cotrain.recipe.folder import read_json
from cotrain.report import write_report

COLUMNS = ["x", "y", "w", "h"]
BOX = {"kind": "box", "columns": COLUMNS, "form": "corner_size", "size": [200, 100]}
REST: dict[str, Any] = {
    "inputs": ["a", "b"], "encoder": {"name": "mlp", "widths": [16]},
    "train": {"epochs": 15, "batch_size": 32, "early_stopping": None, "optimizer": {"name": "adamw", "lr": 0.02}},
}  # fmt: skip


def made(rows: int = 240, seed: int = 0) -> pl.DataFrame:
    """Two numbers that say where a box is; a few rows have none, one has no width."""
    random = np.random.default_rng(seed)
    a, b = random.uniform(size=(2, rows))
    frame = pl.DataFrame(
        {"a": a, "b": b, "x": 120 * a, "y": 60 * b, "w": 50 + 20 * b, "h": 30.0 + 5 * a, "big": (b > 0.5).astype(int)}
    )
    row = pl.int_range(pl.len())
    return frame.with_columns(w=pl.when(row == 5).then(0.0).when(row % 11 == 3).then(None).otherwise(pl.col("w")))  # fmt: skip


@pytest.fixture(scope="module")
def run() -> Any:
    return cotrain.fit(made(), tasks={"where": BOX, "big": "binary"}, **REST)


def test_it_beats_the_constant_box_and_answers_in_its_own_units(run: Any) -> None:
    scores, constant = run.evaluate("test")["where"], run.metrics["constant"]["where"]
    assert scores["mean_iou"] > constant["mean_iou"] + 0.1
    assert scores["rmse"] < constant["rmse"]
    answers = run.predict(made(30, seed=4))
    truth = made(30, seed=4)
    assert answers.columns[:4] == [f"where_{column}" for column in COLUMNS]
    assert float((answers["where_x"] - truth["x"]).abs().mean()) < 20
    assert run.model.scales["where"] > 0


def test_what_is_no_box_is_counted(run: Any, tmp_path: Path) -> None:
    run.save(tmp_path / "kept")
    notes = " ".join(read_json(tmp_path / "kept" / "data.json")["notes"])
    assert "1 box has no width or no height (row 6)" in notes
    assert "some of the four numbers only" in notes


def test_a_saved_run_predicts_the_same_bits_and_has_a_report(run: Any, tmp_path: Path) -> None:
    folder = run.save(tmp_path / "kept")
    again = cotrain.load(folder)
    assert again.predict(made(40, seed=9)).equals(run.predict(made(40, seed=9)))
    assert again.model.tasks == run.model.tasks
    assert "mean IoU" in write_report(folder).read_text()
    assert run.metrics["higher_is_better"]["where"] == {"mean_iou": True, "accuracy_iou50": True, "rmse": False}


def test_one_made_in_python_keeps_its_settings(tmp_path: Path) -> None:
    task = cotrain.Box("where", columns=COLUMNS, form="corner_size", size=(200, 100), loss=ciou, visible=0.5)
    run = cotrain.fit(made(120), tasks=[task], **{**REST, "train": {**REST["train"], "epochs": 1}})
    again = cotrain.load(run.save(tmp_path / "kept"))
    assert again.model.tasks["where"].loss is ciou
    assert again.model.tasks["where"].codec == run.model.tasks["where"].codec


@pytest.mark.slow
def test_comparing_sets_trees_and_the_constant_beside_it(tmp_path: Path) -> None:
    tree = {"tasks": {"where": BOX, "big": "binary"}, **REST, "compare": {"seeds": 2}, "data": {"cache": None}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = read_json(compare(config_from_dict(tree, table=made()), folder=tmp_path / "c") / "compare.json")
    assert {one["name"] for one in found["variants"]} >= {"constant", "single-task", "boosting"}
    assert all("where" in one["scores"] for one in found["variants"])
    assert {one["task"] for one in found["gains"]} == {"where", "big"}
