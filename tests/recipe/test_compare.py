"""Comparisons: pairs, intervals, resumption, what is left out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import cotrain
import cotrain.report
from cotrain.core.errors import DataError, RunError
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict, load_config
from cotrain.recipe.outcome import groups
from cotrain.recipe.rows import load_rows
from cotrain.recipe.yaml_source import parse_yaml

CONFIG = """
data: {path: t.csv, split: {fractions: [0.6, 0.15, 0.25]}}
tasks:
  bought: binary
  price: regression
encoder: {name: mlp, widths: [16]}
train: {epochs: 6, batch_size: 32, optimizer: {name: adamw, lr: 0.02}}
compare: {seeds: 2, variants: {mixture: {sharing: {name: mmoe, experts: 2}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("compare")
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 300))
    bought = np.where(a + 0.3 * random.normal(size=300) > 0, "yes", "no").astype(object)
    bought[::11] = None
    pl.DataFrame({"a": a, "b": b, "bought": bought.tolist(), "price": 10 * (a - b)}).write_csv(where / "t.csv")
    (where / "c.yaml").write_text(CONFIG)
    return where


@pytest.fixture(scope="module")
def compared(folder: Path) -> Path:
    return compare(load_config(folder / "c.yaml"), folder=folder / "out")


def document(path: Path) -> dict:
    return json.loads((path / "compare.json").read_text())


def test_every_variant_is_scored_once_a_seed_on_every_task(compared: Path) -> None:
    found = document(compared)
    names = [variant["name"] for variant in found["variants"]]
    assert names == ["single-task", "joint (hard)", "mixture", "boosting", "constant"]
    for variant in found["variants"][:-1]:
        assert {task: len(values) for task, values in variant["scores"].items()} == {"bought": 2, "price": 2}
    assert found["variants"][0]["cost"]["parameters"] > found["variants"][1]["cost"]["parameters"]


def test_gains_are_the_relative_reduction_of_the_primary_error(compared: Path) -> None:
    found = document(compared)
    scores = {variant["name"]: variant["scores"] for variant in found["variants"]}
    by = {(each["variant"], each["task"]): each for each in found["gains"]}
    expected = [
        1 - (1 - a) / (1 - b) for a, b in zip(scores["mixture"]["bought"], scores["single-task"]["bought"], strict=True)
    ]
    assert by["mixture", "bought"]["per_seed"] == pytest.approx(expected)
    expected = [1 - a / b for a, b in zip(scores["boosting"]["price"], scores["single-task"]["price"], strict=True)]
    one = by["boosting", "price"]
    ratio = np.mean(scores["boosting"]["price"]) / np.mean(scores["single-task"]["price"])
    assert one["per_seed"] == pytest.approx(expected)
    assert one["gain"] == pytest.approx(1 - ratio)
    assert one["low"] < one["gain"] < one["high"]


def test_two_seeds_are_too_few_for_a_verdict(compared: Path) -> None:
    assert "Too few seeds" in document(compared)["verdict"]


@pytest.mark.parametrize(
    ("sharing", "why"), [("hard", "single_steps: joint} lets them make as many"), ("none", "nothing is shared here")]
)
def test_a_gain_that_longer_training_may_bring_is_said_to_be_one(
    folder: Path, tmp_path: Path, sharing: str, why: str
) -> None:
    table = pl.read_csv(folder / "t.csv").with_columns(few=pl.col("a") - pl.col("b") + 5)
    table = table.with_columns(few=pl.when(pl.int_range(pl.len()) % 6 == 0).then("few"))
    text = CONFIG.replace("data: {path: t.csv, ", "data: {cache: null, ").replace(
        "price: regression", "few: regression"
    )
    tree = {**parse_yaml(text).tree, "sharing": sharing, "compare": {"seeds": 1, "boosting": False}}
    found = document(compare(config_from_dict(tree, table=table), folder=tmp_path / "out"))
    gain = {one["task"]: one["gain"] for one in found["gains"]}
    assert gain["few"] > 0  # a sixth of the steps do not get there
    assert "fewer steps in as many epochs (few 0.17 of the joint network's)" in found["verdict"]
    assert why in found["verdict"]


def test_single_task_networks_may_make_as_many_steps_as_the_joint_one(folder: Path, tmp_path: Path) -> None:
    table = pl.read_csv(folder / "t.csv").with_columns(few=pl.col("a") - pl.col("b") + 5)
    table = table.with_columns(few=pl.when(pl.int_range(pl.len()) % 6 == 0).then("few"))
    text = CONFIG.replace("data: {path: t.csv, ", "data: {cache: null, ").replace(
        "price: regression", "few: regression"
    )
    tree = {**parse_yaml(text).tree, "sharing": "none"}
    tree["train"] = {**tree["train"], "early_stopping": None, "keep": "last"}
    found = {}
    for steps in ("own", "joint"):
        about = {"seeds": 3, "boosting": False, "single_steps": steps}
        path = compare(config_from_dict({**tree, "compare": about}, table=table), folder=tmp_path / steps)
        assert load_config(path / "config.yaml", files=False).compare.single_steps == steps
        found[steps] = {one["task"]: one["gain"] for one in document(path)["gains"]}
    assert "fewer steps" not in document(tmp_path / "joint")["verdict"]
    assert abs(found["joint"]["few"]) < 0.5 * found["own"]["few"]  # nothing is shared: what is left is noise
    assert found["joint"]["bought"] == pytest.approx(found["own"]["bought"], abs=0.15)


def test_tasks_with_every_label_make_as_many_steps_alone(compared: Path) -> None:
    assert "fewer steps" not in document(compared)["verdict"]


def test_the_seed_that_trained_the_stored_network_is_written_down(compared: Path) -> None:
    assert json.loads((compared / "metrics.json").read_text())["seed"] == 0


def test_the_folder_is_a_run_that_predicts_and_whose_scores_are_those_of_the_first_seed(compared: Path) -> None:
    run = cotrain.load(compared)
    first = next(one for one in document(compared)["variants"] if one["name"] == "joint (hard)")["scores"]
    scores = run.evaluate("test")
    assert scores["bought"]["auc"] == pytest.approx(first["bought"][0])
    assert scores["price"]["rmse"] == pytest.approx(first["price"][0])
    assert run.predict({"a": [0.5], "b": [0.1]}).height == 1


def test_an_interrupted_comparison_goes_on_without_training_twice(compared: Path, folder: Path) -> None:
    before = document(compared)
    config = load_config(folder / "c.yaml")
    lost = sorted((compared / "parts").glob("mixture*"))[0]
    lost.unlink()
    (compared / "compare.json").unlink()
    said: list[str] = []
    again = compare(config, folder=compared, resume=True, progress=said.append)
    assert said == ["seed 0: mixture"]
    after = document(again)
    assert after["gains"] == before["gains"]
    with pytest.raises(RunError, match="never overwritten"):
        compare(config, folder=compared)


def test_a_comparison_goes_on_only_with_the_settings_it_was_begun_with(compared: Path, folder: Path) -> None:
    config = load_config(folder / "c.yaml")
    other = dataclasses.replace(config.train, clip=2.0)
    with pytest.raises(RunError, match="begun with another 'train'"):
        compare(dataclasses.replace(config, train=other), folder=compared, resume=True)
    longer = dataclasses.replace(config.compare, single_steps="joint")
    with pytest.raises(RunError, match=r"begun with another 'compare\.single_steps'"):
        compare(dataclasses.replace(config, compare=longer), folder=compared, resume=True)
    (folder / "varied.yaml").write_text(CONFIG.replace("experts: 2", "experts: 3"))
    with pytest.raises(RunError, match=r"begun with another 'compare\.variants\.mixture'"):
        compare(load_config(folder / "varied.yaml"), folder=compared, resume=True)


def test_a_joint_network_may_watch_one_task_and_single_ones_watch_their_own(folder: Path, tmp_path: Path) -> None:
    text = CONFIG.replace("epochs: 6", "epochs: 1, monitor: price").replace("seeds: 2", "seeds: 1, boosting: false")
    (folder / "watched.yaml").write_text(text)
    found = document(compare(load_config(folder / "watched.yaml"), folder=tmp_path / "out"))
    assert sorted(found["variants"][0]["scores"]) == ["bought", "price"]


def test_intervals_draw_whole_groups_where_the_split_keeps_them_together(folder: Path) -> None:
    frame = pl.read_csv(folder / "t.csv")
    frame.with_columns(who=pl.Series(np.arange(300) // 6)).write_csv(folder / "grouped.csv")
    text = CONFIG.replace("t.csv", "grouped.csv").replace("split: {", "split: {method: group, by: who, ")
    (folder / "grouped.yaml").write_text(text)
    config = load_config(folder / "grouped.yaml")
    rows = load_rows(config)
    assert rows.groups is not None
    who = groups(rows, "bought")
    assert who is not None
    test = rows.data.rows("test")
    held = test[rows.data.targets["bought"].present[test]]
    pairs = set(zip(who.tolist(), (held // 6).tolist(), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    assert load_rows(load_config(folder / "c.yaml")).groups == {}


def test_a_comparison_without_test_rows_is_refused_before_anything_is_made(folder: Path, tmp_path: Path) -> None:
    (folder / "untested.yaml").write_text(CONFIG.replace("[0.6, 0.15, 0.25]", "[0.8, 0.2, 0]"))
    with pytest.raises(DataError, match="made on test rows, but there are none"):
        compare(load_config(folder / "untested.yaml"), folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_own_network_begins_every_training_from_where_it_stands() -> None:
    frame = {"a": np.linspace(-1, 1, 80), "y": np.linspace(0, 3, 80) ** 2}
    trunk = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.ReLU())
    before = [parameter.clone() for parameter in trunk.parameters()]
    settings = {"tasks": {"y": "regression"}, "encoder": trunk, "train": {"epochs": 2}}
    first, second = (cotrain.fit(frame, **settings) for _ in range(2))
    for mine, kept in zip(trunk.parameters(), before, strict=True):
        assert torch.equal(mine, kept)
    assert first.predict(frame).equals(second.predict(frame))


def test_a_task_without_trees_is_left_out_of_the_row_of_boosting_and_the_others_stay(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=200)
    days, price = random.exponential(np.exp(-a)), a + 0.1 * random.normal(size=200)
    pl.DataFrame({"a": a, "days": days, "died": [1] * 200, "price": price}).write_csv(tmp_path / "t.csv")
    (tmp_path / "c.yaml").write_text(
        """
data: {path: t.csv}
tasks: {price: regression, life: {kind: survival, time: days, event: died, times: [0.5, 1], bins: 4}}
encoder: {name: mlp, widths: [8]}
train: {epochs: 2, early_stopping: null}
compare: {seeds: 1, single: false}
"""
    )
    found = document(compare(load_config(tmp_path / "c.yaml"), folder=tmp_path / "out"))
    trees = next(one for one in found["variants"] if one["name"] == "boosting")
    assert list(trees["scores"]) == ["price"]
    assert found["left_out"] == {"boosting of life": "boosted trees have no form for tasks of kind 'survival'"}
    page = cotrain.report.write_report(tmp_path / "out").read_text("utf-8")  # type: ignore[attr-defined]
    assert "boosting of life was left out" in page
