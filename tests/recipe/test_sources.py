"""Several sources: each task's labels in its own table, one encoder or one each, from a config to a stored run and a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from cotrain.cli.main import app
from cotrain.core.errors import ConfigError
from cotrain.core.naming import slot
from cotrain.recipe.check import check
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict, load_config
from cotrain.recipe.rows import load_rows
from cotrain.recipe.run import fit, load, train
from cotrain.report.reading import read_run


def tables() -> dict[str, pl.DataFrame]:
    draw = np.random.default_rng(0)

    def rows(count: int) -> tuple[Any, Any]:
        return draw.normal(0, 1, count).round(3), draw.choice(["a", "b", "c"], count)

    x, c = rows(200)
    label = np.where(x + (c == "a") + draw.normal(0, 0.2, 200) > 0.3, "yes", "no")
    one = pl.DataFrame({"x": x, "c": c, "z": draw.normal(0, 1, 200).round(3), "label": label})
    x, c = rows(90)
    two = pl.DataFrame({"x": x, "c": c, "label": (2 * x + (c == "a") + draw.normal(0, 0.1, 90)).round(3)})
    return {"one": one, "two": two}


CONFIG: dict[str, Any] = {
    "data": {"cache": None, "split": {"fractions": [0.6, 0.2, 0.2]}},
    "sources": {"one": {"path": "one.csv"}, "two": "two.csv"},
    "tasks": {
        "big": {"kind": "binary", "column": "label", "source": "one"},
        "size": {"kind": "regression", "column": "label", "source": "two"},
    },
    "encoder": {"name": "mlp", "widths": [16]},
    "train": {"epochs": 3, "batch_size": 32, "schedule": "constant", "early_stopping": None, "optimizer": {"lr": 0.01}},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, frame in tables().items():
        frame.write_csv(tmp_path / f"{name}.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(tree: dict[str, Any]) -> Path:
    Path("both.yaml").write_text(json.dumps(tree))
    return Path("both.yaml")


def test_a_run_is_stored_and_loaded_and_each_source_is_answered_by_its_own_tasks(place: Path) -> None:
    run = train(written(CONFIG), folder="run")
    assert set(run.metrics["splits"]["test"]) == {"big", "size"}
    again = load("run")
    new = tables()
    assert again.predict(new["two"].drop("label"), source="two").columns == ["size"]
    assert again.predict(new["one"].drop("label"), source="one").columns == ["big", "big_probability"]
    assert again.predict("two.csv", source="two").equals(run.predict("two.csv", source="two"))
    assert again.evaluate("test") == run.metrics["splits"]["test"]
    with pytest.raises(ConfigError, match=r"this run has several sources \(one, two\); say whose rows these are"):
        again.predict("two.csv")
    with pytest.raises(ConfigError, match=r"unknown source 'too'.*'two'"):
        again.predict("two.csv", source="too")
    part: Any = run.model.parts[0]
    assert list(part.encoders) == [slot("one")]
    assert load_config("run/config.yaml").as_dict() == load_config("both.yaml").as_dict()


def test_a_resumed_training_is_the_same_to_the_last_bit(place: Path) -> None:
    whole = train(written(CONFIG), folder="whole")
    train(written({**CONFIG, "train": {**CONFIG["train"], "epochs": 2}}), folder="half")
    resumed = train(written(CONFIG), folder="half", resume=True)
    ours, theirs = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(one, theirs[name]) for name, one in ours.items() if isinstance(one, torch.Tensor))


def test_the_report_of_a_run_tells_the_sources_apart(place: Path) -> None:
    train(written(CONFIG), folder="run")
    stored = json.loads(Path("run/data.json").read_text())
    assert {name: one["rows"] for name, one in stored["sources"].items()} == {"one": 200, "two": 90}
    assert stored["splits"] == {"train": 174, "valid": 58, "test": 58}
    shown = read_run(Path("run"))
    assert shown.notes == ()
    assert shown.data is not None
    assert {column.name for column in shown.data.columns} == {"one: x", "one: c", "one: z", "one: label", "two: x", "two: c", "two: label"}  # fmt: skip
    assert shown.data.labels["size"]["train"] == 54


def test_the_command_line_predicts_for_the_rows_of_a_source(place: Path) -> None:
    train(written(CONFIG), folder="run")
    answer = CliRunner().invoke(app, ["predict", "run", "two.csv", "--source", "two"])
    assert answer.exit_code == 0
    assert len(answer.stdout.splitlines()) == 91
    answer = CliRunner().invoke(app, ["predict", "run", "two.csv"])
    assert answer.exit_code == 2
    assert "--source one" in answer.output


def test_joint_learns_both_and_a_comparison_gives_each_task_its_own_source(place: Path) -> None:
    tree = {**CONFIG, "compare": {"seeds": 2, "boosting": True}, "train": {**CONFIG["train"], "epochs": 8}}
    found = json.loads((compare(load_config(written(tree)), folder="compared") / "compare.json").read_text())
    scores = {one["name"]: one["scores"] for one in found["variants"]}
    assert set(scores) == {"single-task", "joint (hard)", "boosting", "constant"}
    assert scores["joint (hard)"]["big"][0] > 0.85
    assert scores["joint (hard)"]["size"][0] < scores["constant"]["size"][0]
    assert [len(one) for one in scores["boosting"].values()] == [2, 2]


def test_sources_with_inputs_of_their_own_have_an_encoder_each_and_meet_in_one_space(place: Path) -> None:
    inputs = {"number": ["x"], "letter": {"columns": ["c"], "encoder": "mlp"}}
    tree = {
        **CONFIG,
        "sources": {"one": "one.csv", "two": {"path": "two.csv", "inputs": inputs}},
        "tasks": {
            "big": CONFIG["tasks"]["big"],
            "size": {**CONFIG["tasks"]["size"], "inputs": ["letter"]},
            "again": CONFIG["tasks"]["size"],
        },
    }
    run = train(written(tree), folder="run")
    part: Any = run.model.parts[0]
    assert list(part.encoders) == [slot("one"), slot("two")]
    before = run.predict(tables()["two"], source="two")
    after = run.predict(tables()["two"].with_columns(x=pl.col("x") + 100), source="two")
    assert before["size"].equals(after["size"])
    assert not before["again"].equals(after["again"])
    assert load("run").evaluate("test") == run.metrics["splits"]["test"]


@pytest.mark.parametrize(
    "sharing", ["none", "mmoe", {"name": "ple", "levels": 1}, {"name": "hard", "split": -1}], ids=str
)
def test_sources_share_in_every_way(place: Path, sharing: Any) -> None:
    run = train(written({**CONFIG, "sharing": sharing, "train": {"epochs": 1, "batch_size": 64}}), folder="run")
    assert set(run.evaluate("test")) == {"big", "size"}


def test_fused_inputs_of_common_sources_lack_what_a_source_has_no_column_of(place: Path) -> None:
    tree = {
        **CONFIG,
        "inputs": {"main": ["x", "c"], "extra": {"columns": ["z"], "encoder": {"name": "mlp", "widths": [4]}}},
        "fusion": "gate",
    }
    config = load_config(written(tree))
    rows = load_rows(config)
    data: Any = rows.data
    assert bool(data.parts["one"].inputs["extra.numbers"].present.all())
    assert not bool(data.parts["two"].inputs["extra.numbers"].present.any())
    run = train(config, folder="run")
    assert set(run.metrics["splits"]["test"]) == {"big", "size"}
    plan = check(config).plan
    assert plan["network"]["inputs"] == "main (columns), extra (mlp)"
    assert plan["training"]["steps an epoch"] == 4  # of the longer source: 120 rows


def test_from_python_tables_stand_under_their_names() -> None:
    tree = {key: CONFIG[key] for key in ("tasks", "encoder")}
    run = fit(sources={"one": tables()["one"], "two": {"table": tables()["two"], "split": {"fractions": [0.5, 0.2, 0.3]}}}, train={"epochs": 1}, **tree)  # fmt: skip
    assert json.loads(json.dumps(run._documents["data.json"]["sources"]["two"]["splits"])) == {"train": 45, "valid": 18, "test": 27}  # fmt: skip
    assert set(run.evaluate("test")) == {"big", "size"}


def test_one_source_under_sources_is_as_one_under_data(place: Path) -> None:
    tasks = {"big": {"kind": "binary", "column": "label"}}
    alone = fit("one.csv", tasks=tasks, encoder=CONFIG["encoder"], train=CONFIG["train"])
    named = fit(sources={"only": "one.csv"}, tasks=tasks, encoder=CONFIG["encoder"], train=CONFIG["train"])
    assert named.predict("one.csv").columns == alone.predict("one.csv").columns
    assert set(named.metrics["splits"]["test"]) == {"big"}


def test_a_large_source_with_inputs_of_its_own_is_read_piece_by_piece(place: Path) -> None:
    tree = {**CONFIG, "sources": {"one": {"path": "one.csv", "stream": True, "inputs": ["x", "c"]}, "two": "two.csv"}}
    run = train(written(tree), folder="run")
    assert set(run.metrics["splits"]["test"]) == {"big", "size"}
    assert "streamed" in json.loads(Path("run/data.json").read_text())["sources"]["one"]
    assert load("run").evaluate("test") == run.metrics["splits"]["test"]
    with pytest.raises(ConfigError, match="source 'one' is read piece by piece"):
        load_rows(load_config(written({**CONFIG, "sources": {"one": {"path": "one.csv", "stream": True}, "two": "two.csv"}})))  # fmt: skip


def test_groups_of_rows_are_kept_for_the_source_that_has_them(place: Path) -> None:
    tables()["two"].with_columns(who=pl.Series(np.arange(90) // 3)).write_csv("two.csv")
    tree = {**CONFIG, "sources": {"one": "one.csv", "two": {"path": "two.csv", "split": {"method": "group", "by": "who"}}}}  # fmt: skip
    rows = load_rows(config_from_dict(tree))
    assert list(rows.groups) == ["two"]
