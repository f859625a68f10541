"""Every kind of target, the whole way: fit, evaluate, predict, save, load; from a config as from Python."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import cotrain
from cotrain.cli.predict import write
from cotrain.losses import NegativeBinomialDeviance, gamma_deviance
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict
from cotrain.recipe.folder import read_json
from cotrain.report import write_report

TRAIN = {"epochs": 12, "batch_size": 32, "early_stopping": None, "optimizer": {"name": "adamw", "lr": 0.02}}
SMALL = {"name": "mlp", "widths": [16, 8]}
SPLIT = {"method": "random", "fractions": [0.6, 0.2, 0.2]}


def made(rows: int = 300, seed: int = 0) -> pl.DataFrame:
    """Two numbers that decide a target of every kind; some labels are missing."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))
    years = random.uniform(0.5, 2, rows)
    life, lost = random.exponential(np.exp(-a)), random.exponential(2.0, rows)
    frame = pl.DataFrame({
        "a": a, "b": b, "importance": random.uniform(0.5, 2, rows),
        "sea": np.where(a > 0, "yes", "no"), "hill": (b > 0).astype(int),
        "topics": [";".join([name for name, has in (("red", x > 0), ("big", y > 0.5)) if has] or ["plain"]) for x, y in zip(a, b, strict=True)],
        "tags": [[name for name, has in (("red", x > 0), ("big", y > 0.5)) if has] for x, y in zip(a, b, strict=True)],
        "grade": np.digitize(a + 0.2 * random.normal(size=rows), [-0.7, 0.7]),
        "claims": random.poisson(years * np.exp(0.7 * a)), "years": years,
        "cost": np.where(random.random(rows) < 0.2, 0.0, random.gamma(3, np.exp(0.7 * b) / 3)),
        "price": 100 + 20 * a + 5 * random.normal(size=rows),
        "days": np.minimum(life, lost), "died": (life <= lost).astype(int),
    })  # fmt: skip
    gone = pl.int_range(pl.len()) % 7 == 3
    holes = ("hill", "topics", "grade", "claims", "cost", "price", "days")
    return frame.with_columns(pl.when(gone).then(None).otherwise(pl.col(name)).alias(name) for name in holes)


TASKS: dict[str, Any] = {
    "place": {"kind": "multilabel", "columns": ["sea", "hill"]},
    "topics": {"kind": "multilabel", "separator": ";"},
    "tags": "multilabel",
    "grade": {"kind": "ordinal", "head": {"name": "mlp", "widths": [4]}},
    "level": {"kind": "ordinal", "column": "grade"},
    "claims": {"kind": "count", "exposure": "years"},
    "clusters": {"kind": "count", "column": "claims", "loss": "negative_binomial", "dispersion": 0.5, "metric": "mae"},
    "cost": {"kind": "positive", "power": 1.3, "weight": 2.0},
    "price": {"kind": "quantile", "levels": [0.05, 0.5, 0.95]},
    "life": {"kind": "survival", "time": "days", "event": "died", "times": [0.5, 1], "bins": 8},
}
INPUTS = ["a", "b"]


@pytest.fixture(scope="module")
def run() -> Any:
    return cotrain.fit(made(), tasks=TASKS, inputs=INPUTS, encoder=SMALL, train=TRAIN, split=SPLIT)


def test_every_kind_beats_the_constant_on_its_primary_metric(run) -> None:
    scores, constant = run.evaluate("test"), run.metrics["constant"]
    assert set(scores) == set(TASKS)
    for name, task in run.model.tasks.items():
        assert task.error(scores[name]) < 0.97 * task.error(constant[name]), name
        assert set(task.metric_names) <= set(scores[name])


def test_predictions_of_every_kind_stand_in_columns(run) -> None:
    answers = run.predict(made(40, seed=3))
    assert answers.height == 40
    assert set(answers["place_sea"].unique()) == {"yes", "no"}
    assert answers["topics"].dtype == pl.String
    assert answers["tags"].dtype == pl.List(pl.String)
    assert set(answers["grade"].unique()) <= {"0", "1", "2"}
    assert answers["claims"].min() > 0
    assert (answers["price_0.05"] < answers["price"]).all()
    assert (answers["price"] < answers["price_0.95"]).all()
    assert answers["price"].equals(answers["price_0.5"].alias("price"))
    assert (answers["life_survival_1"] <= answers["life_survival_0.5"]).all()
    assert run.predict(made(3).head(0)).columns == answers.columns


def test_a_saved_run_predicts_the_same_bits(run, tmp_path: Path) -> None:
    again = cotrain.load(run.save(tmp_path / "kept"))
    rows = made(40, seed=9)
    assert again.predict(rows).equals(run.predict(rows))
    assert again.model.tasks == run.model.tasks


def test_the_report_shows_every_kind_with_its_metric(run, tmp_path: Path) -> None:
    folder = run.save(tmp_path / "kept")
    text = write_report(folder).read_text()
    for words in ("weighted κ", "D²", "pinball", "concordance", "coverage"):
        assert words in text
    flags = run.metrics["higher_is_better"]
    assert flags["price"]["pinball"] is False
    assert "coverage" not in flags["price"]  # near a value of its own, and neither higher nor lower


def test_tasks_made_in_python_keep_their_settings_when_they_are_stored(tmp_path: Path) -> None:
    tasks = [
        cotrain.Binary("sea", threshold=0.3),
        cotrain.Count("claims", loss=NegativeBinomialDeviance(0.3), exposure="years"),
        cotrain.Positive("cost", columns=["days"], loss=gamma_deviance, metric="mae"),
        cotrain.Quantile("price", levels=[0.2, 0.8]),
        cotrain.Survival("life", columns=["b2", "died"], bins=3),
    ]
    rows = made(120).with_columns(b2=pl.col("b").abs())
    run = cotrain.fit(rows, tasks=tasks, inputs=INPUTS, encoder=SMALL, train={**TRAIN, "epochs": 1}, split=SPLIT)
    again = cotrain.load(run.save(tmp_path / "kept"))
    for name, task in run.model.tasks.items():
        assert (again.model.tasks[name].loss, again.model.tasks[name].codec) == (task.loss, task.codec)
        assert again.model.tasks[name].metrics == task.metrics
    assert again.predict(rows).equals(run.predict(rows))


def test_a_column_with_a_part_in_a_target_is_no_input() -> None:
    config = config_from_dict({"tasks": TASKS, "data": {"cache": None}}, table=made())
    assert config.tasks["claims"].columns == ("claims", "years")
    assert config.tasks["life"].columns == ("days", "died")
    again = config_from_dict({**config.as_dict(), "data": {"cache": None}}, table=made())
    assert again.tasks == config.tasks


def test_numbers_that_training_never_shows_are_no_unseen_classes() -> None:
    from cotrain.recipe.rows import load_rows

    part = ["train"] * 40 + ["valid"] * 20 + ["test"] * 20
    table = pl.DataFrame({"a": np.sin(np.arange(80.0)), "n": [0, 1, 3, 1] * 15 + [7] * 20, "part": part})
    data = {"cache": None, "split": {"method": "column", "by": "part"}}
    for kind, said in (("count", False), ("regression", False), ("multiclass", True)):
        found = load_rows(config_from_dict({"tasks": {"n": kind}, "inputs": ["a"], "data": data}, table=table))
        assert any("training never shows" in one for one in found.report["warnings"]) == said


def test_row_weights_reach_every_kind() -> None:
    about = {"data": {"weight": "importance", "cache": None}}
    config = config_from_dict(
        {"tasks": TASKS, "inputs": INPUTS, "encoder": SMALL, "train": {**TRAIN, "epochs": 1}, **about}, table=made()
    )
    plain = config_from_dict(
        {"tasks": TASKS, "inputs": INPUTS, "encoder": SMALL, "train": {**TRAIN, "epochs": 1}, "data": {"cache": None}},
        table=made(),
    )
    from cotrain.recipe.rows import load_rows

    weighted, even = load_rows(config), load_rows(plain)
    for task in weighted.tasks:
        rows = weighted.data.batch(weighted.data.rows("train"))
        again = even.data.batch(even.data.rows("train"))
        assert not np.allclose(
            task.reference(rows.targets[task.name], rows.weight), task.reference(again.targets[task.name], None)
        )


def test_lists_of_labels_are_written_to_files_that_know_no_lists(run, tmp_path: Path) -> None:
    answers = run.predict(made(5))
    for name in ("out.csv", "out.tsv", "out.parquet", "out.jsonl"):
        write([answers], tmp_path / name)
    assert pl.read_csv(tmp_path / "out.csv").height == 5
    assert pl.read_parquet(tmp_path / "out.parquet")["tags"].dtype == pl.List(pl.String)


@pytest.mark.slow
def test_comparing_sets_trees_beside_networks(tmp_path: Path) -> None:
    tasks = {name: TASKS[name] for name in ("place", "grade", "claims", "cost", "price")}
    tree = {"tasks": tasks, "inputs": INPUTS, "encoder": SMALL, "train": {**TRAIN, "epochs": 4}, "compare": {"seeds": 2},
            "data": {"cache": None, "split": SPLIT}}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = read_json(compare(config_from_dict(tree, table=made()), folder=tmp_path / "c") / "compare.json")
    trees = next(one for one in found["variants"] if one["name"] == "boosting")
    assert set(trees["scores"]) == set(tasks)
    assert {one["task"] for one in found["gains"]} == set(tasks)
    assert found["left_out"] == {}
