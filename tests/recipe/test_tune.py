"""Tuning: trials on validation rows, the winner trained again and compared; interrupted ones go on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import cotrain
from cotrain.cli.main import app
from cotrain.core.errors import ConfigError
from cotrain.data.sample import EncodedData
from cotrain.recipe.auto_space import auto_space
from cotrain.recipe.check import check
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict
from cotrain.recipe.fewer import fewer
from cotrain.recipe.network import Trained, train_network
from cotrain.recipe.open_config import opened
from cotrain.recipe.problems import Origin
from cotrain.recipe.rows import load_rows
from cotrain.recipe.tune import Trials, Tuning, gain_over, tuning
from cotrain.recipe.tune_run import final, tune
from cotrain.recipe.yaml_source import Source
from cotrain.report.page import write_report
from cotrain.search.problem import Problem
from cotrain.search.trial import Trial


def rows(count: int = 300) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, 4))
    hidden = np.tanh(x @ draw.normal(size=4))
    noise = draw.normal(size=(2, count))
    columns = {f"x{place}": x[:, place] for place in range(4)}
    return pl.DataFrame({**columns, "a": hidden + 0.3 * noise[0], "b": (hidden + 0.5 * noise[1] > 0).astype(int)})


LR = {"search": {"low": 1e-4, "high": 1e-1, "log": True, "default": 2e-3}}


def tree(**about: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "tasks": {"a": "regression", "b": "binary"},
        "data": {"cache": None},
        "encoder": {"name": "mlp", "widths": [16]},
        "train": {"epochs": 2, "batch_size": 64, "optimizer": {"lr": LR}},
        **about,
    }


def search(**about: Any) -> Tuning:
    return tuning(Source(tree(**about), Origin()), None, table=rows())


def kept(folder: Path, name: str = "tune.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def test_the_best_trial_is_trained_again_and_compared_with_what_it_began_with(tmp_path: Path) -> None:
    found = search(tune={"sampler": "random", "trials": 4, "seeds": 1})
    seen: list[int] = []
    said: list[str] = []

    def watch(problem: Problem, trials: Any) -> None:
        if not any(line.startswith("picked") for line in said):
            seen.append(sum(trial.finished for trial in trials))

    path = tune(found, folder=tmp_path / "run", watch=watch, progress=said.append)
    assert said[0].startswith("first a network for each task (a, b)")  # nothing trains in silence
    document = kept(path)
    trials = [Trial.from_json(one) for one in document["trials"]]
    assert [trial.state for trial in trials] == ["complete"] * 4
    assert trials[0].parameters == {"train.optimizer.lr": 2e-3}  # it begins where the config stands
    assert document["picked"] == max(trials, key=lambda trial: trial.values["gain"]).number
    assert document["front"] == [document["picked"]]
    assert set(trials[0].values) >= {"gain", "a", "b", "parameters", "flops_per_row", "seconds", "latency_ms"}
    assert seen == sorted(seen)
    assert seen[-1] == 4
    names = [variant["name"] for variant in kept(path, "compare.json")["variants"]]
    assert names[:2] == ["single-task", "joint (hard)"]
    assert ("untuned" in names) == (document["picked"] != 0)
    run = cotrain.load(path)
    assert run.config.train.optimizer.lr == pytest.approx(trials[document["picked"]].parameters["train.optimizer.lr"])
    page = write_report(path).read_text(encoding="utf-8")
    assert "What was tried" in page


def test_no_trial_of_an_interrupted_tuning_is_run_twice(tmp_path: Path) -> None:
    class Enough(Exception):  # noqa: N818
        pass

    def stop(problem: Problem, trials: Any) -> None:
        if sum(trial.finished for trial in trials) == 2:
            raise Enough

    about: dict[str, Any] = {"tune": {"sampler": "random", "trials": 3, "seeds": 1, "single": False}}
    with pytest.raises(Enough):
        tune(search(**about), folder=tmp_path / "run", watch=stop)
    path = tune(search(**about), folder=tmp_path / "run", resume=True)
    whole = tune(search(**about), folder=tmp_path / "whole")

    def values(folder: Path) -> list[dict[str, float]]:
        return [{name: one["values"][name] for name in ("gain", "a", "b")} for one in kept(folder)["trials"]]

    assert values(path) == values(whole)
    with pytest.raises(ConfigError, match="another"):
        tune(search(**about, seed=5), folder=tmp_path / "run", resume=True)


@pytest.mark.slow
def test_several_workers_share_the_trials(tmp_path: Path) -> None:
    found = search(tune={"sampler": "random", "trials": 4, "seeds": 1, "single": False})
    path = tune(found, folder=tmp_path / "run", workers=2)
    trials = [Trial.from_json(one) for one in kept(path)["trials"]]
    assert [trial.state for trial in trials] == ["complete"] * 4
    assert [trial.attempt for trial in trials] == [1] * 4


def test_a_front_has_what_no_trial_beats_and_a_bound_is_kept(tmp_path: Path) -> None:
    width = {"search": {"choice": [[4], [32], [64]], "default": [32]}}
    about = {"sampler": "random", "trials": 6, "seeds": 1, "single": False, "objectives": ["gain", "parameters"]}
    found = search(
        encoder={"name": "mlp", "widths": width},
        tune={**about, "constraints": {"parameters": 400}, "pick": "task=gain"},
    )
    path = tune(found, folder=tmp_path / "run")
    document = kept(path)
    by_number = {one["number"]: one["values"] for one in document["trials"]}
    assert all(by_number[number]["parameters"] <= 400 for number in document["front"])
    best = max(one["gain"] for one in by_number.values() if one["parameters"] <= 400)
    assert by_number[document["picked"]]["gain"] == best


def test_a_network_beyond_a_bound_that_is_known_before_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    def counted(*given: Any, **settings: Any) -> Trained:
        done = train_network(*given, **settings)
        trained.append(sum(one.numel() for one in done.model.parameters()))
        return done

    monkeypatch.setattr("cotrain.recipe.tune.train_network", counted)
    width = {"search": {"choice": [[4], [32], [64]], "default": [32]}}
    about = {"sampler": "grid", "trials": 9, "seeds": 1, "single": False}
    found = search(
        encoder={"name": "mlp", "widths": width},
        train={"epochs": 1, "batch_size": 64},
        tune={**about, "constraints": {"parameters": 100, "flops_per_row": {"at_least": 1}}},
    )
    document = kept(tune(found, folder=tmp_path / "run"))
    states = {one["parameters"]["encoder.widths"]: one for one in document["trials"]}
    assert states["[4]"]["state"] == "complete"
    assert all(states[width]["state"] == "pruned" for width in ("[32]", "[64]"))
    assert set(states["[64]"]["values"]) == {"parameters", "flops_per_row", "latency_ms"}
    assert trained[2:] == [states["[4]"]["values"]["parameters"]]  # the first two are the baseline


def test_values_that_were_tried_are_not_trained_again_and_more_trials_may_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    def counted(*given: Any, **settings: Any) -> Trained:
        trained.append(settings["seed"])
        return train_network(*given, **settings)

    monkeypatch.setattr("cotrain.recipe.tune.train_network", counted)
    few = {"search": {"choice": [1e-5, 1e-2], "default": 1e-5}}
    about: dict[str, Any] = {
        "train": {"epochs": 1, "batch_size": 64, "optimizer": {"lr": few}},
        "compare": {"boosting": False},
    }
    settings = {"sampler": "random", "seeds": 1, "single": False}
    first = kept(tune(search(**about, tune={**settings, "trials": 1}), folder=tmp_path / "run"))
    path = tune(search(**about, tune={**settings, "trials": 6}), folder=tmp_path / "run", resume=True)
    document = kept(path)
    assert document["trials"][:1] == first["trials"]
    assert first["picked"] == 0
    assert document["picked"] > 0  # another winner takes the place of the first
    assert cotrain.load(path).config.train.optimizer.lr == pytest.approx(1e-2)
    assert [one["state"] for one in document["trials"]] == ["complete"] * 6
    assert len(trained) == 2 + 2  # the baseline's two networks, and a network for each of two values
    gains = {one["parameters"]["train.optimizer.lr"]: one["values"]["gain"] for one in document["trials"]}
    assert all(one["values"]["gain"] == gains[one["parameters"]["train.optimizer.lr"]] for one in document["trials"])


def test_a_pruner_ends_trials_that_lag_behind(tmp_path: Path) -> None:
    pruner = {"name": "median", "startup": 1, "warmup": 0}
    found = search(tune={"sampler": "random", "trials": 5, "seeds": 1, "single": False, "pruner": pruner})
    document = kept(tune(found, folder=tmp_path / "run"))
    assert "pruned" in {one["state"] for one in document["trials"]}
    assert all(one["intermediate"] for one in document["trials"])


def test_single_task_networks_have_what_is_theirs_to_tune() -> None:
    open_sharing = {"search": {"choice": ["hard", "mmoe"]}}
    apart = search(sharing=open_sharing, tune={"objectives": ["gain", "seconds"]}).apart()
    assert apart is not None
    assert [parameter.name for parameter in apart.open.space.parameters] == ["train.optimizer.lr"]
    assert [objective.name for objective in apart.problem.objectives] == ["gain"]
    assert apart.closed({"train.optimizer.lr": 0.01}).sharing.name == "none"
    assert search(sharing=open_sharing, train={"epochs": 1}).apart() is None  # nothing but sharing is open


def test_trials_learn_from_some_of_the_training_rows_and_the_winner_from_all(tmp_path: Path) -> None:
    few = search(tune={"sampler": "random", "trials": 2, "seeds": 1, "single": False, "rows": 40})
    assert few.digest != search(tune={"sampler": "random", "trials": 2, "single": False}).digest
    trials = Trials(few, tmp_path / "trials")
    read = trials.rows(few.config)
    whole = load_rows(few.config)
    assert read.data.counts == {**whole.data.counts, "train": 40}
    assert isinstance(read.data, EncodedData)
    assert isinstance(whole.data, EncodedData)
    assert set(read.data.rows("train").tolist()) < set(whole.data.rows("train").tolist())
    assert read.data.rows("train").equal(fewer(whole, 40, few.config.seed).data.rows("train"))  # type: ignore[attr-defined]
    assert fewer(whole, 10_000, 0).data is whole.data
    path = tune(few, folder=tmp_path / "run")
    assert kept(path, "data.json")["splits"]["train"] == whole.data.counts["train"]


def test_rows_that_are_read_piece_by_piece_are_not_drawn_from(tmp_path: Path) -> None:
    rows().write_csv(tmp_path / "small.csv")
    data = {"path": str(tmp_path / "small.csv"), "cache": str(tmp_path / "cache"), "stream": True}
    found = tuning(Source(tree(data=data, tune={"rows": 40, "single": False}), Origin()), None)
    with pytest.raises(ConfigError, match=r"tune\.rows .* data\.stream: false"):
        Trials(found, tmp_path / "trials")


def test_the_winner_meets_the_test_rows_with_the_seeds_of_the_search() -> None:
    found = search(tune={"seeds": [3, 4]})
    winner, beside = final(found, Trial(number=2, parameters={"train.optimizer.lr": 0.05}))
    assert winner.compare.seeds == (3, 4)
    assert winner.train.optimizer.lr == 0.05
    assert beside["untuned"].train.optimizer.lr == pytest.approx(2e-3)
    assert final(found, Trial(number=0, parameters=found.open.default or {}))[1] == {}


def test_untuned_has_head_and_task_weights_it_began_with(tmp_path: Path) -> None:
    weight = {"search": {"low": 0.01, "high": 100.0, "log": True, "default": 1.0}}
    head = {"search": {"choice": ["linear", {"name": "mlp", "widths": [64]}], "default": "linear"}}
    about: dict[str, Any] = {"tasks": {"a": {"kind": "regression", "weight": weight}, "b": "binary"}, "head": head}
    found = search(**about, tune={"seeds": 1})
    chosen = {"train.optimizer.lr": 0.002, "tasks.a.weight": 100.0, "head": "mlp"}
    winner, beside = final(found, Trial(number=1, parameters=chosen))
    alone = dataclasses.replace(winner.compare, single=False, boosting=False)
    path = compare(dataclasses.replace(winner, compare=alone), folder=tmp_path / "run", beside=beside)
    plain = dataclasses.replace(beside["untuned"], compare=dataclasses.replace(alone, seeds=(0,)))
    known = compare(plain, folder=tmp_path / "plain")

    def scores(folder: Path, name: str) -> Any:
        return {one["name"]: one["scores"] for one in kept(folder, "compare.json")["variants"]}[name]

    assert scores(path, "untuned") == scores(known, "joint (hard)")
    assert scores(path, "untuned") != scores(path, "joint (hard)")


def test_the_gain_is_the_mean_over_tasks() -> None:
    assert gain_over({"a": 1.0, "b": 0.0, "c": 4.0}, {"a": 0.5, "b": 0.3, "c": 5.0}) == pytest.approx(0.125)


def test_a_sensible_space_opens_structure_and_training_and_begins_where_the_config_stands() -> None:
    plain = tree(train={"epochs": 2})
    config = config_from_dict(plain, table=rows())
    found = opened(auto_space(plain, config))
    names = {parameter.name for parameter in found.space.parameters}
    assert names >= {
        "sharing", "sharing.experts", "balance", "head", "encoder.widths", "encoder.dropout", "tasks.a.weight", "tasks.b.weight",
        "train.optimizer.lr", "train.optimizer.weight_decay", "train.batch_size",
    }  # fmt: skip
    assert found.default is not None
    begun = config_from_dict(found.closed(found.default), table=rows())
    assert (list(begun.encoder.settings["widths"]), begun.sharing.name, begun.train.batch_size) == ([16], "hard", 512)
    for parameters in ({"sharing": "mmoe", "sharing.experts": 3}, {"sharing": "cgc", "sharing.shared": 2}):
        config_from_dict(found.closed({**found.default, **parameters}), table=rows())
    own = opened(auto_space(tree(), config))
    assert own.space.by_name["train.optimizer.lr"].domain.high == 1e-1  # type: ignore[union-attr]


@pytest.mark.parametrize("widths", ["[64]", "[64, 64, 64]"])
def test_every_sharing_of_a_sensible_space_goes_with_every_depth(widths: str) -> None:
    plain = tree(train={"epochs": 2})
    found = opened(auto_space(plain, config_from_dict(plain, table=rows())))
    assert found.default is not None
    for sharing in found.space.by_name["sharing"].domain.options:  # type: ignore[union-attr]
        inner = {"sharing.experts": 3, "sharing.shared": 2}
        closed = found.closed({**found.default, **inner, "sharing": sharing, "encoder.widths": widths})
        assert check(config_from_dict(closed, table=rows())).problems == (), sharing


@pytest.mark.parametrize(
    ("sharing", "least"),
    [
        ({"name": "ple", "levels": 2}, 2),
        ({"name": "mmoe", "split": 1}, 2),
        ({"name": "hard", "split": -3}, 3),
        ("mtan", 1),
    ],
)
def test_a_sensible_space_keeps_to_depths_that_the_configs_own_sharing_takes(sharing: Any, least: int) -> None:
    plain = tree(train={"epochs": 2}, sharing=sharing, encoder={"name": "mlp", "widths": [16, 16, 16]})
    found = opened(auto_space(plain, config_from_dict(plain, table=rows())))
    depths = {len(json.loads(one)) for one in found.space.by_name["encoder.widths"].domain.options}  # type: ignore[union-attr]
    assert depths == set(range(least, 4))


@pytest.mark.parametrize(
    ("about", "what"),
    [
        ({"sampler": "genetics"}, "did you mean 'genetic'"),
        ({"objectives": ["aa"]}, "unknown objective 'aa'"),
        ({"trials": 0}, "at least one trial"),
        ({"rows": 0}, "at least one training row"),
        ({"trial": 3}, "did you mean 'trials'"),
        ({"constraints": {"parameters": {"at_mots": 3}}}, "did you mean 'at_most'"),
        ({"time": "soon"}, "90s"),
        ({"storage": "postgresql://nobody@127.0.0.1:1/none"}, "postgresql|connect|reach"),
        ({"sampler": "genetic", "objectives": ["gain", "seconds"]}, "nsga2"),
    ],
)
def test_mistakes_are_answered_with_what_can_be(tmp_path: Path, about: dict[str, Any], what: str) -> None:
    with pytest.raises(Exception, match=what) as told:
        tune(search(tune={"single": False, **about}), folder=tmp_path / "run")
    assert isinstance(told.value, cotrain.core.errors.CotrainError)


def test_the_command_says_how_it_stands_and_what_came(tmp_path: Path) -> None:
    rows().write_csv(tmp_path / "small.csv")
    (tmp_path / "small.yaml").write_text(
        "data: {path: small.csv, cache: null}\ntasks: {a: regression, b: binary}\n"
        "encoder: {name: mlp, widths: [8]}\ntrain: {epochs: 1, batch_size: 64}\n"
        "tune: {seeds: 1, single: false}\n",
        encoding="utf-8",
    )
    words = ["tune", str(tmp_path / "small.yaml"), "--auto", "--trials", "2", "--sampler", "random"]
    ran = CliRunner().invoke(app, [*words, "--folder", str(tmp_path / "run")])
    assert ran.exit_code == 0, ran.output
    assert "2 trials done" in ran.output
    assert "picked trial" in ran.output
    ran = CliRunner().invoke(app, ["tune", str(tmp_path / "small.yaml")])
    assert ran.exit_code != 0
    assert "--auto" in ran.output
