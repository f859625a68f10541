"""Mistakes in what is searched and how, and in how it is found out which tasks belong together: answered like all the others."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from test_mistakes import Mistake, answered, ask, prepared, replace, said, words

pytest.importorskip("optuna")
pytest.importorskip("pymoo")

LR = {"lr: 0.002": "lr: {search: {low: 1e-4, high: 1e-2, log: true}}"}
SHARING = "{name: mmoe, experts: 2}"


def search(domain: str) -> dict[str, str]:
    """The edit that opens the learning rate, on line 12."""
    return {"lr: 0.002": f"lr: {{search: {domain}}}"}


def tune(settings: str) -> dict[str, str]:
    """The edits that open the learning rate and say on line 13 how it is searched."""
    return {**LR, "seed: 0": f"tune: {{{settings}}}"}


def affinity(settings: str) -> dict[str, str]:
    return {"seed: 0": f"affinity: {{{settings}}}"}


MISTAKES = [
    Mistake("nothing open", says=("nothing in the config is open", "tune with --auto")),
    Mistake("a mistake elsewhere", {**LR, "epochs:": "epoch:"}, at="12:9", path="train.epoch", says=("did you mean 'epochs'?",)),
    Mistake("a target that is no column", {**LR, "column: income": "column: incom"}, at="6", path="tasks.income", says=("did you mean 'income'?",)),
    Mistake("one class", LR, cells=replace("income", lambda row, value: "low"), at="6", path="tasks.income", says=("two classes",)),
    # ------------------------------------------------------------------------------------------------------ what may be chosen
    Mistake("a range the wrong way round", search("{low: 1, high: 0.1}"), at="12:61", path="train.optimizer.lr", says=("low < high, got low 1 and high 0.1", "wrong way round")),
    Mistake("a logarithm of nothing", search("{low: 0, high: 0.1, log: true}"), at="12:61", path="train.optimizer.lr", says=("needs low > 0, got 0",)),
    Mistake("words for a range", search("{low: a, high: b}"), at="12:61", path="train.optimizer.lr", says=("a finite number for `low`, got 'a'",)),
    Mistake("an empty choice", search("{choice: []}"), at="12:61", path="train.optimizer.lr", says=("two options or more, got []",)),
    Mistake("a key of a search", search("{lo: 0.1, high: 1}"), at="12:61", path="train.optimizer.lr", says=("did you mean 'low'?",)),
    Mistake("a search that is a number", search("0.1"), at="12:61", path="train.optimizer.lr", says=("{low: ..., high: ...}", "got 0.1")),
    Mistake("a step beyond the range", {"epochs: 1": "epochs: {search: {low: 1, high: 2, step: 5}}"}, at="12:9", path="train.epochs", says=("leaves one value", "write 1 instead")),
    Mistake("a default outside", search("{low: 0.1, high: 1, default: 3}"), at="12:61", path="train.optimizer.lr", says=("a number from 0.1 to 1, got 3",)),
    Mistake("an end that cannot be", {"dropout: 0.1": "dropout: {search: {low: 0.0, high: 1.5}}"}, at="9", path="encoder.dropout", says=("1.5",)),
    Mistake("an option that is none", {SHARING: "{search: {choice: [hard, mmoee]}}"}, at="10:35", path="sharing", says=("did you mean 'mmoe'?",)),
    Mistake("a setting of an option", {SHARING: "{search: {choice: [hard, {name: mmoe, expert: 3}]}}"}, at="10:48", path="sharing.expert", says=("did you mean 'experts'?",)),
    Mistake("an end inside an option", {SHARING: "{search: {choice: [hard, {name: mmoe, experts: {search: {low: 0, high: 4}}}]}}"}, at="10:48", path="sharing.experts", says=("at least 1, got 0",)),
    # ------------------------------------------------------------------------------------------------------- how it is searched
    Mistake("a sampler", tune("sampler: genetics"), at="13:17", path="tune.sampler", says=("did you mean 'genetic'?", "particle_swarm")),
    Mistake("a setting of a sampler", tune("sampler: {name: genetic, populaton: 5}"), at="13:33", path="tune.sampler.populaton", says=("did you mean 'population'?",)),
    Mistake("nobody in a population", tune("sampler: {name: genetic, population: 0}"), at="13:45", path="tune.sampler.population", says=("at least 2 is expected, got 0",)),
    Mistake("a pruner", tune("pruner: medain"), at="13:16", path="tune.pruner", says=("did you mean 'median'?",)),
    Mistake("a sampler that cannot choose", {**tune("sampler: cmaes"), SHARING: "{search: {choice: [hard, mmoe]}}"}, at="13:17", path="tune.sampler", says=("cannot vary choices (sharing); those that can: random, grid",)),
    Mistake("a sampler of one objective", tune("sampler: genetic, objectives: [gain, parameters]"), at="13:17", path="tune.sampler", says=("serves one objective, and there are 2 (gain, parameters); those that can", "nsga2")),
    Mistake("a grid without end", tune("sampler: {name: grid, points: 1000001}"), at="13:8", path="tune.sampler", says=("combinations are more than",)),
    Mistake("a pruner of two objectives", tune("pruner: asha, objectives: [gain, parameters]"), at="13:16", path="tune.pruner", says=("serves one objective", "leave the pruner out")),
    Mistake("a pruner of costs", tune("pruner: asha, objectives: parameters"), at="13:16", path="tune.pruner", says=("'parameters' does not change", "leave the pruner out")),
    Mistake("a key of tune", tune("trial: 3"), at="13:8", path="tune.trial", says=("did you mean 'trials'?",)),
    Mistake("no trials", tune("trials: 0"), at="13:16", path="tune.trials", says=("at least one trial, got 0",)),
    Mistake("a time in words", tune("time: soon"), at="13:14", path="tune.time", says=("90s", "'soon'")),
    Mistake("a lease in words", tune("lease: long"), at="13:15", path="tune.lease", says=("90s", "'long'")),
    Mistake("no seeds", tune("seeds: 0"), at="13:15", path="tune.seeds", says=("got 0",)),
    Mistake("a word among seeds", tune("seeds: [0, a]"), at="13:19", path="tune.seeds[1]", says=("expected a whole number", "'a'")),
    Mistake("tune as a word", {**LR, "seed: 0": "tune: tpe"}, at="13:7", path="tune", says=("a mapping with keys such as sampler, trials", "'tpe'")),
    # ---------------------------------------------------------------------------------------------------------------- for what
    Mistake("an objective", tune("objectives: [gian]"), at="13:21", path="tune.objectives[0]", says=("did you mean 'gain'?", "latency_ms")),
    Mistake("a task that is none", tune("objectives: [gain, incom]"), at="13:27", path="tune.objectives[1]", says=("did you mean 'income'?",)),
    Mistake("a metric for an objective", tune("objectives: auc"), at="13:8", path="tune.objectives", says=("unknown objective 'auc'", "income, grade, wage")),
    Mistake("an objective twice", tune("objectives: [gain, gain]"), at="13:27", path="tune.objectives[1]", says=("'gain' twice",)),
    Mistake("no objectives", tune("objectives: []"), at="13:20", path="tune.objectives", says=("at least one objective",)),
    Mistake("objectives as a mapping", tune("objectives: {gain: 1}"), at="13:8", path="tune.objectives", says=("expected a list",)),
    Mistake("a bound on no cost", tune("constraints: {paramters: 100}"), at="13:22", path="tune.constraints.paramters", says=("did you mean 'parameters'?",)),
    Mistake("a bound in words", tune("constraints: {parameters: few}"), at="13:34", path="tune.constraints.parameters", says=("one number is expected", "'few'")),
    Mistake("two bounds", tune("constraints: {parameters: {at_most: 1, at_least: 2}}"), at="13:22", path="tune.constraints.parameters", says=("at_most 1 and at_least 2",)),
    Mistake("a key of a bound", tune("constraints: {parameters: {at_mots: 1}}"), at="13:35", path="tune.constraints.parameters.at_mots", says=("did you mean 'at_most'?",)),
    Mistake("a pick", tune("pick: kne"), at="13:14", path="tune.pick", says=("did you mean 'knee'?",)),
    Mistake("the pick of a task that is none", tune("objectives: [income, grade], pick: task=incom"), at="13:43", path="tune.pick", says=("did you mean 'income'?",)),
    Mistake("the pick of a task that is no objective", tune("pick: task=income"), at="13:14", path="tune.pick", says=("unknown objective 'income'", "Known: gain")),
    Mistake("a budget of no cost", tune("pick: 'budget=parmeters:100'"), at="13:14", path="tune.pick", says=("did you mean 'parameters'?",)),
    Mistake("a budget in words", tune("pick: 'budget=parameters:few'"), at="13:14", path="tune.pick", says=("budget=parameters:10",)),
    # ------------------------------------------------------------------------------------------------------------------- where
    Mistake("another database", tune("storage: 'mysql://ann:secret@db/x'"), at="13:17", path="tune.storage", says=("postgresql://USER@HOST/NAME, got mysql://ann@db/x",)),
    Mistake("an address that is none", tune("storage: 'postgresql://ann:secret@db:port/x'"), at="13:17", path="tune.storage", says=("cannot be read (Port could not be cast",)),
    Mistake("a folder that is not there", tune("storage: nowhere/study.db"), at="13:17", path="tune.storage", says=("nowhere/study.db", "unable to open")),
]  # fmt: skip

test_a_mistake_is_answered = answered(MISTAKES, "tune", "census.yaml")

AFFINITY = [
    Mistake("where gradients are compared", affinity("at: feature"), at="13:16", path="affinity.at", says=("did you mean 'features'?", "'lookahead'")),
    Mistake("what makes a group", affinity("by: cosin"), at="13:16", path="affinity.by", says=("did you mean 'cosine'?",)),
    Mistake("what a grouping is for", affinity("objective: summ"), at="13:23", path="affinity.objective", says=("did you mean 'sum'?",)),
    Mistake("no groups", affinity("groups: 0"), at="13:20", path="affinity.groups", says=("at least 1 is expected, got 0",)),
    Mistake("groups in words", affinity("groups: many"), at="13:20", path="affinity.groups", says=("expected a whole number",)),
    Mistake("never a look", affinity("every: 0"), at="13:19", path="affinity.every", says=("at least 1 is expected, got 0",)),
    Mistake("looks after the end", affinity("begin: 1"), at="13:19", path="affinity.begin", says=("below 1 is expected, got 1",)),
    Mistake("a negative margin", affinity("margin: -1"), at="13:20", path="affinity.margin", says=("from 0",)),
    Mistake("a key of affinity", affinity("gruops: 2"), at="13:12", path="affinity.gruops", says=("did you mean 'groups'?",)),
    Mistake("a look at no feature", {**affinity("at: features"), "wage: regression": "wage: {kind: regression, inputs: [b]}", 'inputs: ["*"]': "inputs: {a: [hours, city], b: [age]}"}, at="13:16", path="affinity.at", says=("is features, but tasks read different inputs", "lookahead")),
    Mistake("nothing shared", {SHARING: "none"}, at="10:10", path="sharing", says=("has no shared part", "write sharing: hard")),
    Mistake("one task", {"  income: {column: income, kind: binary}\n  grade: {kind: multiclass}\n": ""}, at="5:1", path="tasks", says=("two tasks at least, got wage",)),
]  # fmt: skip

test_a_mistake_of_affinity_is_answered = answered(AFFINITY, "affinity", "census.yaml")


def test_a_search_is_left_to_tune(place: Path) -> None:
    mistake = Mistake("a search without tune", LR, at="12:61", path="train.optimizer.lr", says=("cotrain tune",))
    prepared(mistake)
    assert said(ask("check", "census.yaml"), mistake) == []


def test_a_database_that_does_not_answer_is_said_at_once(place: Path) -> None:
    pytest.importorskip("psycopg")
    prepared(Mistake("none", LR))
    begun = time.monotonic()
    result = ask("tune", "census.yaml", "--storage", "postgresql://ann:secret@127.0.0.1:1/studies")
    assert time.monotonic() - begun < 15
    says = ("tune.storage", "the database at postgresql://ann@127.0.0.1:1/studies does not answer", "is it running")
    assert said(result, Mistake("none", says=says)) == []
    assert "secret" not in words(result)
    assert not Path("runs").exists()


def test_a_driver_that_is_not_installed_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    prepared(Mistake("none", tune("storage: 'postgresql://ann@127.0.0.1:1/studies'")))
    says = ("a study in PostgreSQL needs an optional dependency: pip install 'cotrain[tune]'",)
    assert said(ask("tune", "census.yaml"), Mistake("none", says=says)) == []


def test_a_study_of_another_config_is_not_gone_on_with(place: Path) -> None:
    small = {"sampler": "random", "trials": "1", "seeds": "1", "single": "false", "storage": "study.db"}
    settings = ", ".join(f"{key}: {value}" for key, value in small.items())
    prepared(Mistake("none", tune(settings)))
    words = ("tune", "census.yaml")
    first = ask(*words, "--work")
    assert first.exit_code == 0, first.output
    prepared(Mistake("none", {**tune(settings), "dropout: 0.1": "dropout: 0.2"}))
    says = ("study 'census' is there already and was begun with another config; give this study a name of its own",)
    assert said(ask(*words), Mistake("none", says=says)) == []
