"""Several inputs with encoders of their own, and tasks that read some of them, from a config to a stored run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from cotrain.core.errors import ConfigError
from cotrain.core.naming import slot
from cotrain.recipe.check import check
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict, load_config
from cotrain.recipe.network import train_network
from cotrain.recipe.rows import load_rows
from cotrain.recipe.run import fit, load, train


def table(rows: int = 160) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    age, size = draw.normal(40, 10, rows), draw.normal(60, 20, rows)
    return pl.DataFrame(
        {
            "age": age.round(1),
            "city": draw.choice(["Oslo", "Rome"], rows),
            "size": size.round(1),
            "old": np.where(age + draw.normal(0, 1, rows) > 40, "yes", "no"),
            "rent": (10 * size + age + draw.normal(0, 5, rows)).round(1),
        }
    )


CONFIG: dict[str, Any] = {
    "inputs": {
        "person": {"columns": ["age", "city"], "encoder": {"name": "mlp", "widths": [8]}},
        "flat": ["size"],
    },
    "tasks": {"old": {"kind": "binary", "inputs": ["person"]}, "rent": "regression"},
    "encoder": {"name": "mlp", "widths": [8]},
    "fusion": {"name": "gate", "width": 8, "dropout": 0.1},
    "train": {"epochs": 3, "batch_size": 32},
}


def written(folder: Path, tree: dict[str, Any]) -> Path:
    table().write_csv(folder / "flats.csv")
    path = folder / "flats.yaml"
    path.write_text(json.dumps({"data": {"path": "flats.csv", "cache": None}, **tree}))
    return path


def test_a_run_with_fused_inputs_is_stored_and_loaded_and_answers_the_same(tmp_path: Path) -> None:
    run = train(written(tmp_path, CONFIG), folder=tmp_path / "run")
    again = load(tmp_path / "run")
    rows = table().head(20).drop("old", "rent")
    assert again.predict(rows).equals(run.predict(rows))
    assert again.evaluate("test") == run.metrics["splits"]["test"]
    other = rows.with_columns(size=pl.col("size") + 1000)
    before, after = again.predict(rows), again.predict(other)
    assert before["old_probability"].equals(after["old_probability"])
    assert not before["rent"].equals(after["rent"])
    assert load_config(tmp_path / "run" / "config.yaml").as_dict() == load_config(tmp_path / "flats.yaml").as_dict()


def test_a_resumed_training_with_left_out_inputs_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    path = written(tmp_path, {**CONFIG, "train": {**CONFIG["train"], "schedule": "constant", "early_stopping": None}})
    whole = train(path, folder=tmp_path / "whole")
    path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 2'))
    train(path, folder=tmp_path / "half")
    path.write_text(path.read_text().replace('"epochs": 2', '"epochs": 3'))
    resumed = train(path, folder=tmp_path / "half", resume=True)
    for name, value in whole.model.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("sharing", ["none", "cgc", "cross_stitch", "adapters"])
def test_tasks_with_their_own_inputs_share_in_every_way(sharing: str) -> None:
    tree = {**CONFIG, "sharing": sharing, "train": {"epochs": 1, "batch_size": 32}}
    run = fit(table(), **{key: tree[key] for key in ("inputs", "tasks", "encoder", "sharing", "fusion", "train")})
    assert set(run.metrics["splits"]["test"]) == {"old", "rent"}


def test_a_comparison_gives_single_task_networks_and_trees_the_inputs_of_their_task_only(tmp_path: Path) -> None:
    tree = {**CONFIG, "compare": {"seeds": 2, "boosting": True}, "train": {"epochs": 1, "batch_size": 32}}
    tree["tasks"] = {
        "old": {"kind": "binary", "inputs": ["flat"]},
        "rent": {"kind": "regression", "inputs": ["person", "flat"]},
    }
    folder = compare(load_config(written(tmp_path, tree)), folder=tmp_path / "compared")
    found = json.loads((folder / "compare.json").read_text())
    scores = {one["name"]: one["scores"] for one in found["variants"]}
    assert scores["boosting"]["old"][0] < 0.75  # the size of a flat says nothing of the age
    assert set(scores["single-task"]) == {"old", "rent"}


def test_check_says_who_reads_what_and_a_network_of_some_tasks_holds_their_inputs_only() -> None:
    config = config_from_dict(CONFIG, table=table())
    plan = check(config).plan
    assert plan["network"]["inputs"] == "person (mlp), flat (columns)"
    assert plan["network"]["fusion"] == "gate, 8 wide"
    rows = load_rows(config)
    run = train_network(config, rows.data, rows.specs, [task for task in rows.tasks if task.name == "old"], seed=0)
    part: Any = run.model.parts[0]
    assert list(part.encoders[slot("main")].paths) == [slot("person")]


def test_named_inputs_without_encoders_of_their_own_are_one_table_as_before() -> None:
    tree = {**CONFIG, "inputs": {"person": ["age", "city"], "flat": ["size"]}, "tasks": {"rent": "regression"}}
    tree.pop("fusion")
    run = fit(table(), **{key: tree[key] for key in ("inputs", "tasks", "encoder", "train")})
    assert set(run.model.parts[0].encoders[slot("main")].columns.numbers) == {slot("numbers")}  # type: ignore[union-attr, index, arg-type]


def test_a_network_made_already_cannot_stand_among_several_inputs() -> None:
    made = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=r"encoder: a network that is made already"):
        fit(table(), inputs={"a": ["age"], "b": ["size"]}, tasks={"rent": {"kind": "regression", "inputs": "a"}, "old": "binary"}, encoder=made)  # fmt: skip
