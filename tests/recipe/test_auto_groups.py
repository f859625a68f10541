"""`sharing: {name: branched, groups: auto}`: the groups are found before the training, stored, and never found again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

import cotrain
from cotrain.cli.main import app
from cotrain.core.errors import ConfigError
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.recipe import auto_groups
from cotrain.recipe.check import check
from cotrain.recipe.compare import compare
from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.problems import Origin
from cotrain.recipe.rows import load_rows
from cotrain.recipe.run import train
from cotrain.recipe.tune import tuning
from cotrain.recipe.tune_run import tune
from cotrain.recipe.yaml_source import Source
from cotrain.report.page import write_report
from cotrain.sharing.branched import Branched
from cotrain.tasks import Regression
from cotrain.training.watch import Plan, Silent

GROUPS = [["a0", "a1"], ["b0", "b1"]]


def kin(rows: int = 300) -> pl.DataFrame:
    """Two clusters of two tasks, of one hidden number each."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, 8))
    columns = {f"x{place}": x[:, place] for place in range(8)}
    for cluster, name in enumerate("ab"):
        hidden = np.tanh(x[:, 4 * cluster : 4 * cluster + 4] @ draw.normal(size=4))
        for place in range(2):
            columns[f"{name}{place}"] = hidden + 0.3 * draw.normal(size=rows)
    return pl.DataFrame(columns)


def tree(**about: Any) -> dict[str, Any]:
    return {
        "name": "kin",
        "tasks": dict.fromkeys(("a0", "a1", "b0", "b1"), "regression"),
        "data": {"cache": None},
        "encoder": {"name": "mlp", "widths": [24, 24]},
        "sharing": {"name": "branched", "groups": "auto"},
        "affinity": {"every": 2},
        "train": {"epochs": 5, "batch_size": 32, "threads": 1, "optimizer": {"lr": 0.01}},
        **about,
    }


def config(**about: Any) -> Config:
    return config_from_dict(tree(**about), table=kin())


def kept(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def same(one: cotrain.Run, other: cotrain.Run) -> bool:
    """Whether two networks have the same weights to the last bit."""
    first, second = (dict(run.model.named_parameters()) for run in (one, other))
    return list(first) == list(second) and all(torch.equal(value, second[name]) for name, value in first.items())


class Seen(Silent):
    """Keeps the plans it is told, and stops the training after so many epochs of the last one."""

    def __init__(self, stop: tuple[int, int] | None = None) -> None:
        self.plans: list[Plan] = []
        self.stop = stop

    def started(self, plan: Plan) -> None:
        self.plans.append(plan)

    def ended_epoch(self, record: Mapping[str, Any]) -> None:
        if self.stop == (len(self.plans), record["epoch"] - 1):
            raise KeyboardInterrupt


def nothing_is_found(*given: Any, **settings: Any) -> Any:
    raise AssertionError("the groups are found a second time")


def test_groups_are_found_before_the_training_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen()
    run = train(config(), folder=tmp_path / "run", progress=seen)
    assert kept(tmp_path / "run", "affinity.json")["groups"] == GROUPS
    assert run.metrics["found"]["groups"] == GROUPS
    assert kept(tmp_path / "run", "structure.json")["sharing"] == {"name": "branched", "groups": [GROUPS], "split": 1}
    assert run.config.sharing.settings["groups"] == "auto"
    first, second = seen.plans
    assert first.purpose == "to find out which tasks share"
    assert (second.purpose, second.found["groups"]) == ("", "a0, a1 | b0, b1")
    assert not (tmp_path / "run" / "groups").exists()
    monkeypatch.setattr(auto_groups, "measured", nothing_is_found)
    again = cotrain.load(tmp_path / "run")
    new = kin(40)
    assert again.predict(new).equals(run.predict(new))
    copy = again.save(tmp_path / "copy")
    assert cotrain.load(copy).predict(new).equals(run.predict(new))
    assert "Train a0 and a1 together" in write_report(tmp_path / "run").read_text(encoding="utf-8")


def test_the_groups_are_those_of_the_network_they_are_given_to(tmp_path: Path) -> None:
    found = train(config(), folder=tmp_path / "auto")
    given = train(
        config(sharing={"name": "branched", "groups": [[["a0", "a1", "b0", "b1"]], GROUPS]}), folder=tmp_path / "given"
    )
    assert same(given, found)


@pytest.mark.parametrize("stop", [(1, 2), (2, 2)], ids=["while_groups_are_found", "afterwards"])
def test_a_training_that_goes_on_ends_as_one_that_never_stopped(tmp_path: Path, stop: tuple[int, int]) -> None:
    whole = train(config(), folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config(), folder=tmp_path / "run", progress=Seen(stop))
    resumed = train(config(), folder=tmp_path / "run", resume=True)
    assert same(whole, resumed)


def test_a_comparison_finds_them_once_for_all_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    about = config(
        compare={
            "seeds": 2,
            "single": False,
            "boosting": False,
            "variants": {
                "all": {"sharing": "hard"},
                "early": {"sharing": {"name": "branched", "groups": "auto", "split": 0}},
            },
        },
    )
    count = [0]
    measure = auto_groups.measured

    def counted(*given: Any, **settings: Any) -> Any:
        count[0] += 1
        return measure(*given, **settings)

    monkeypatch.setattr(auto_groups, "measured", counted)
    path = compare(about, folder=tmp_path / "run", progress=said.append)
    assert count == [2]
    found = kept(path, "compare.json")["found"]
    assert set(found) == {"joint (branched)", "early"}
    assert all(one["seconds"] > 0 for one in found.values())
    assert any(line.startswith("  found in ") and line.endswith("s: a0, a1 | b0, b1") for line in said)
    assert cotrain.load(path).predict(kin(10)).height == 10
    compare(about, folder=path, resume=True)
    assert count == [2]
    page = write_report(path).read_text(encoding="utf-8")
    assert "groups found before its trainings" in page


def test_a_trial_of_a_tuning_finds_its_own(tmp_path: Path) -> None:
    train_of = {
        "epochs": 2,
        "batch_size": 64,
        "optimizer": {"lr": {"search": {"choice": [0.01, 1e-5], "default": 1e-5}}},
    }
    search = tuning(
        Source(tree(train=train_of, tune={"sampler": "random", "trials": 2, "seeds": 1, "single": False}), Origin()),
        None,
        table=kin(300),
    )
    path = tune(search, folder=tmp_path / "run")
    assert [one["state"] for one in kept(path, "tune.json")["trials"]] == ["complete"] * 2
    assert cotrain.load(path).metrics["found"]["groups"] == kept(path, "affinity.json")["groups"]
    compared = kept(path, "compare.json")
    assert set(compared["found"]) == {one["name"] for one in compared["variants"] if one["kind"] == "joint"}
    assert "untuned" in compared["found"]


def test_of_one_task_there_is_one_group_and_nothing_is_trained_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_groups, "measured", nothing_is_found)
    run = train(config(tasks={"a0": "regression"}), folder=tmp_path / "run")
    assert run.metrics["found"]["groups"] == [["a0"]]
    assert cotrain.load(tmp_path / "run").predict(kin(5)).height == 5


def test_of_a_time_limit_the_training_has_what_finding_leaves() -> None:
    about = config(train={"epochs": 1000, "batch_size": 32, "time_limit": 1.5})
    document = auto_groups.find_groups(about, load_rows(about))
    assert document is not None
    assert document["seconds"] < 1.0
    left = auto_groups.with_groups(about, document).train.limit
    assert left == pytest.approx(1.5 - document["seconds"])


def test_from_python_groups_are_found_too() -> None:
    run = cotrain.fit(
        kin(300),
        tasks=dict.fromkeys(("a0", "b0"), "regression"),
        sharing=Branched(groups="auto", split=0),
        encoder={"name": "mlp", "widths": [8]},
        train={"epochs": 2},
    )
    assert sorted(task for group in run.metrics["found"]["groups"] for task in group) == ["a0", "b0"]


def test_a_plan_does_not_wait_for_them() -> None:
    plan = check(config()).plan
    assert plan["network"]["sharing"] == "branched, its groups found before the training"


def test_a_network_of_ones_own_is_told_who_finds_them() -> None:
    model = Model(encoder=MLP(widths=[8]), sharing=Branched(groups="auto"), tasks=[Regression("a"), Regression("b")])
    x = torch.randn(4, 3)
    with pytest.raises(ConfigError, match=r"nobody has found the groups: the recipe does"):
        cotrain.Trainer(model).fit((x, {"a": x[:, 0], "b": x[:, 1]}))


def test_the_command_says_which_groups_were_found(tmp_path: Path) -> None:
    kin().write_csv(tmp_path / "kin.csv")
    (tmp_path / "kin.yaml").write_text(
        "data: {path: kin.csv, cache: null}\n"
        "tasks: {a0: regression, a1: regression, b0: regression, b1: regression}\n"
        "encoder: {name: mlp, widths: [24, 24]}\nsharing: {name: branched, groups: auto}\n"
        "train: {epochs: 5, batch_size: 32, optimizer: {lr: 0.01}}\n",
        encoding="utf-8",
    )
    ran = CliRunner().invoke(app, ["train", str(tmp_path / "kin.yaml"), "--folder", str(tmp_path / "run")])
    assert ran.exit_code == 0, ran.output
    assert "to find out which tasks share" in ran.stderr
    assert "found: groups a0, a1 | b0, b1" in ran.stderr
