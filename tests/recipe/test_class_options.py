"""Class weights, focal loss, weights of a task's own, tuned thresholds and calibration: from a table to answers and back from disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import cotrain
from cotrain.core.errors import DataError
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict

QUICK = {"epochs": 6, "batch_size": 64, "early_stopping": None, "optimizer": {"name": "adamw", "lr": 0.02}}
SMALL = {"name": "mlp", "widths": [16]}


def made(rows: int = 500, seed: int = 0) -> pl.DataFrame:
    """A rare yes and three classes that depend on two numbers; a column of weights."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))
    return pl.DataFrame(
        {
            "a": a,
            "b": b,
            "rare": np.where(a + 0.7 * random.normal(size=rows) > 1.4, "yes", "no"),
            "size": np.select([b < -0.5, b > 0.5], ["small", "large"], "middle"),
            "trust": random.random(rows) + 0.1,
        }
    )


def fitted(rare: dict[str, Any], size: dict[str, Any] | None = None, **more: Any) -> Any:
    tasks = {"rare": {"kind": "binary", **rare}, "size": {"kind": "multiclass", **(size or {})}}
    return cotrain.fit(made(), tasks=tasks, encoder=SMALL, train=QUICK, inputs=["a", "b"], **more)


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "class weights": ({"class_weights": "balanced"}, {"class_weights": {"small": 3}}),
    "smoothing": ({"smoothing": 0.1}, {"smoothing": 0.1}),
    "focal": ({"loss": "focal", "gamma": 1.0}, {"loss": "focal", "class_weights": "balanced"}),
    "threshold": ({"threshold": "tuned"}, {}),
    "threshold by cost": ({"threshold": "tuned", "tune_for": {"false_positive": 1, "false_negative": 9}}, {}),
    "temperature": ({"calibrate": "temperature"}, {"calibrate": "temperature"}),
    "platt": ({"calibrate": "platt", "threshold": "tuned", "tune_for": "balanced_accuracy"}, {}),
    "isotonic": ({"calibrate": "isotonic"}, {}),
    "weights of its own": ({"weight_column": "trust"}, {"weight_column": "trust"}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_saved_run_predicts_and_scores_as_the_one_that_was_trained(name: str, tmp_path: Path) -> None:
    run = fitted(*OPTIONS[name])
    again = cotrain.load(run.save(tmp_path / "run"))
    rows = made(60, seed=5)
    assert again.predict(rows[["a", "b"]]).equals(run.predict(rows[["a", "b"]]))
    assert {name: task.loss for name, task in again.model.tasks.items()} == {
        name: task.loss for name, task in run.model.tasks.items()
    }
    for task, scores in run.evaluate("test").items():
        assert scores == pytest.approx(run.metrics["splits"]["test"][task], nan_ok=True)
    assert run.evaluate("test")["rare"]["auc"] > 0.7


def test_a_tuned_threshold_finds_more_of_the_rare_class_and_leaves_auc_alone() -> None:
    plain, tuned = fitted({}), fitted({"threshold": "tuned"})
    before, after = plain.evaluate("valid")["rare"], tuned.evaluate("valid")["rare"]
    assert after["auc"] == before["auc"]
    assert after["f1"] > before["f1"]
    learnt = tuned.metrics["learnt"]["rare"]
    assert after["f1"] == pytest.approx(learnt["reached"])
    assert learnt["before"]["valid"] == pytest.approx(before, nan_ok=True)
    answers = tuned.predict(made(40, seed=3)[["a", "b"]])
    assert ((answers["rare_probability"] >= learnt["threshold"]) == (answers["rare"] == "yes")).all()
    none = tuned.predict(made(40, seed=3)[["a", "b"]], thresholds={"rare": 0.999})
    assert (none["rare"] == "no").all()


def test_the_same_network_is_trained_whatever_is_learnt_after() -> None:
    plain, after = fitted({}), fitted({"threshold": "tuned", "calibrate": "platt"})
    for name, value in plain.model.state_dict().items():
        if hasattr(value, "equal"):
            assert value.equal(after.model.state_dict()[name])


def test_class_weights_move_the_answers_towards_the_rare_class() -> None:
    rows = made(200, seed=4)[["a", "b"]]
    plain, balanced = fitted({}).predict(rows), fitted({"class_weights": "balanced"}).predict(rows)
    assert balanced["rare_probability"].mean() > plain["rare_probability"].mean() + 0.1


def test_a_weight_column_is_no_input_and_counts_for_its_task_alone() -> None:
    tasks = {"rare": {"kind": "binary", "weight_column": "trust"}, "size": "multiclass"}
    run = cotrain.fit(made(), tasks=tasks, encoder=SMALL, train=QUICK)
    assert set(run._rows.encoder.columns) == {"a", "b"}
    field = run._rows.data.targets["rare"]
    assert np.allclose(field.weight.numpy(), made()["trust"].to_numpy())
    assert run._rows.data.targets["size"].weight is None
    roles = {one["name"]: one["why"] for one in json.loads(json.dumps(run._documents["data.json"]))["columns"]}
    assert roles["trust"] == "weighs the rows"


def test_rows_of_weight_zero_teach_their_task_nothing() -> None:
    frame = made().with_columns(pl.when(pl.col("a") > 0).then(0.0).otherwise(1.0).alias("trust"))
    flipped = frame.with_columns(pl.when(pl.col("a") > 0).then(pl.lit("no")).otherwise(pl.col("rare")).alias("rare"))
    tasks = {"rare": {"kind": "binary", "weight_column": "trust", "positive": "yes"}, "size": "multiclass"}
    frame = frame.with_columns(
        pl.when(pl.int_range(500) % 9 == 0).then(pl.lit("yes")).otherwise(pl.col("rare")).alias("rare")
    )
    flipped = flipped.with_columns(
        pl.when(pl.int_range(500) % 9 == 0).then(pl.lit("yes")).otherwise(pl.col("rare")).alias("rare")
    )
    one, two = (cotrain.fit(rows, tasks=tasks, encoder=SMALL, train=QUICK) for rows in (frame, flipped))
    rows = made(50, seed=9)
    assert one.predict(rows).equals(two.predict(rows))


def test_a_negative_weight_is_refused_with_its_row() -> None:
    frame = made().with_columns(pl.when(pl.int_range(500) == 6).then(-1.0).otherwise(pl.col("trust")).alias("trust"))
    tasks = {"rare": {"kind": "binary", "weight_column": "trust"}}
    with pytest.raises(DataError, match="task 'rare': weight_column: column 'trust', row 7"):
        cotrain.fit(frame, tasks=tasks, encoder=SMALL, train=QUICK)


def test_without_validation_rows_nothing_is_tuned_and_it_is_said() -> None:
    run = fitted({"threshold": "tuned"}, split={"fractions": [0.8, 0, 0.2]})
    assert any("no labelled validation rows" in note for note in run.metrics["notes"])
    assert run.metrics["learnt"] == {}


def test_a_comparison_tunes_every_variant_on_its_own_outputs(tmp_path: Path) -> None:
    tree = {
        "tasks": {"rare": {"kind": "binary", "threshold": "tuned", "metric": "f1"}, "size": {"kind": "multiclass", "calibrate": "temperature"}},
        "inputs": ["a", "b"], "encoder": SMALL, "train": QUICK, "compare": {"seeds": [0], "boosting": True},
        "data": {"cache": None},
    }  # fmt: skip
    config = config_from_dict(tree, table=made())
    folder = compare(config, folder=tmp_path / "compare")
    document = json.loads((folder / "compare.json").read_text())
    scores = {one["name"]: one["scores"]["rare"][0] for one in document["variants"]}
    assert {"single-task", "boosting", "joint (hard)"} <= set(scores)
    assert all(scores[name] > 0.3 for name in ("single-task", "boosting", "joint (hard)"))
    run = cotrain.load(folder)
    assert run.metrics["splits"]["test"]["rare"]["f1"] == pytest.approx(scores["joint (hard)"])
