"""Which tasks belong together: kin are found, strangers stay apart, and the answer is kept beside the run."""

from __future__ import annotations

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
from cotrain.recipe.affinity import affinity
from cotrain.recipe.affinity_settings import AffinitySettings
from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.measured_affinity import found, joined, sentence
from cotrain.report.page import write_report
from cotrain.search.grouping import Grouping


def kin(seed: int, rows: int = 1200) -> pl.DataFrame:
    """Two clusters of two tasks: of one hidden number each, and noise of their own."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 8))
    columns = {f"x{place}": x[:, place] for place in range(8)}
    for cluster, name in enumerate("ab"):
        hidden = np.tanh(x[:, 4 * cluster : 4 * cluster + 4] @ draw.normal(size=4))
        for place in range(2):
            columns[f"{name}{place}"] = hidden + 0.3 * draw.normal(size=rows)
    return pl.DataFrame(columns)


def config(frame: pl.DataFrame, **about: Any) -> Config:
    tree = {
        "name": "kin",
        "tasks": {name: "regression" for name in frame.columns if not name.startswith("x")},
        "train": {"epochs": 6, "batch_size": 64},
        "encoder": {"name": "mlp", "widths": [32, 32]},
        "data": {"cache": None},
        **about,
    }
    return config_from_dict(tree, table=frame)


def answer(folder: Path) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((folder / "affinity.json").read_text(encoding="utf-8"))
    return kept


@pytest.mark.parametrize("at", ["features", "parameters", "lookahead"])
@pytest.mark.parametrize("by", ["cosine", "share"])
def test_kin_are_put_together_and_strangers_apart(tmp_path: Path, at: str, by: str) -> None:
    path = affinity(config(kin(0), affinity={"at": at, "by": by, "every": 4}), folder=tmp_path / "run")
    kept = answer(path)
    assert kept["groups"] == [["a0", "a1"], ["b0", "b1"]]
    assert kept["verdict"] == "Train a0 and a1 together; train b0 and b1 together."
    assert min(kept["predicted"].values()) > 0.05
    assert all(pair["looks"] == kept["looks"] for pair in kept["pairs"])
    assert cotrain.load(path).metrics["splits"]["test"]["a0"]["rmse"] < 1.0


def test_apart_is_weakly_founded_where_few_rows_have_the_label(tmp_path: Path) -> None:
    frame = kin(0).with_columns(rare=pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.col("x0")))
    kept = answer(affinity(config(frame, affinity={"every": 4, "margin": 0.3}), folder=tmp_path / "run"))
    assert ["rare"] in kept["groups"]
    assert "Few rows have the label of rare (5 %)" in kept["verdict"]


def test_what_is_unrelated_is_trained_apart(tmp_path: Path) -> None:
    frame = kin(1).select([f"x{place}" for place in range(8)] + ["a0", "b0"])
    kept = answer(affinity(config(frame, affinity={"every": 2}), folder=tmp_path / "run"))
    assert kept["groups"] == [["a0"], ["b0"]]
    assert kept["verdict"].startswith("Train these apart")


def test_the_check_trains_the_groups_and_says_what_they_did(tmp_path: Path) -> None:
    said: list[str] = []
    frame = kin(2)
    path = affinity(
        config(frame, affinity={"every": 2}),
        folder=tmp_path / "run",
        check=True,
        progress=said.append,
    )
    kept = answer(path)
    assert said == ["alone: a0", "alone: a1", "alone: b0", "alone: b1", "together: a0, a1", "together: b0, b1"]
    for task, errors in kept["check"]["errors"].items():
        assert set(errors) == {"alone", "together", "grouped"}
        assert kept["check"]["gains"][task]["grouped"] == pytest.approx(1 - errors["grouped"] / errors["alone"])
    assert "Tried with one seed: in these groups the error is" in kept["verdict"]
    page = write_report(path).read_text(encoding="utf-8")
    assert "Which tasks together?" in page
    assert "Train a0 and a1 together" in page


def test_a_pair_that_is_never_met_has_no_number_and_is_not_put_together() -> None:
    epoch = {
        "looks": {"a|b": 10},
        "cosines": {"a|b": 0.4},
        "spread": {"a|b": 0.1},
        "shares": {"a>b": 0.8, "b>a": 0.2},
    }
    early = {**epoch, "cosines": {"a|b": -1.0}}
    kept = found([early, early, epoch, epoch], ["a", "b", "c"], AffinitySettings(by="share"))
    first, other, _ = kept["pairs"]
    assert (first["cosine"], first["looks"]) == (pytest.approx(0.4), 20)
    assert first["error"] == pytest.approx(0.1 / 19**0.5)
    assert (first["forward"], first["backward"]) == (pytest.approx(0.8), pytest.approx(0.2))
    assert (other["cosine"], other["error"], other["forward"]) == (None, None, None)
    assert kept["groups"] == [["a", "b"], ["c"]]
    assert kept["predicted"] == pytest.approx({"a": 0.2, "b": 0.8, "c": 0.0})


def test_a_mean_within_two_standard_errors_of_zero_counts_for_nothing() -> None:
    epoch = {"looks": {"a|b": 5}, "cosines": {"a|b": 0.2}, "spread": {"a|b": 0.9}, "shares": {"a>b": 1.0, "b>a": 1.0}}
    kept = found([epoch], ["a", "b"], AffinitySettings())
    assert kept["groups"] == [["a"], ["b"]]
    assert kept["verdict"].startswith("Too few looks to tell: 5 that count")


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    frame = kin(0, 100)
    with pytest.raises(ConfigError, match="two tasks at least"):
        affinity(config(frame, tasks={"a0": "regression"}), folder=tmp_path / "one")
    with pytest.raises(ConfigError, match="no shared part"):
        affinity(config(frame, sharing="none"), folder=tmp_path / "none")
    with pytest.raises(ConfigError, match="no two tasks were compared"):
        found([{"looks": None}], ["a", "b"], AffinitySettings())


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"at": "feature"}, "did you mean 'features'"),
        ({"by": "cosinus"}, "did you mean 'cosine'"),
        ({"every": 0}, "at least 1"),
        ({"begin": 1.0}, "0 to below 1"),
        ({"margin": -1}, "0 to below 1"),
        ({"margins": 0.1}, "did you mean 'margin'"),
    ],
)
def test_settings_that_cannot_be_are_answered_with_what_can(given: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        config(kin(0, 20), affinity=given)


def test_the_advice_is_said_in_words() -> None:
    assert sentence(Grouping((("a",), ("b",)), {}, True)).startswith("Train these apart")
    assert sentence(Grouping((("a", "b", "c"),), {}, True)) == "Train all of them together."


def test_the_command_prints_the_pairs_and_the_advice(tmp_path: Path) -> None:
    kin(0).write_csv(tmp_path / "kin.csv")
    (tmp_path / "kin.yaml").write_text(
        "data: {path: kin.csv, cache: null}\n"
        "tasks: {a0: regression, a1: regression, b0: regression}\n"
        "encoder: {name: mlp, widths: [32]}\n"
        "train: {epochs: 6, batch_size: 64}\naffinity: {every: 4}\n",
        encoding="utf-8",
    )
    ran = CliRunner().invoke(app, ["affinity", str(tmp_path / "kin.yaml"), "--folder", str(tmp_path / "run")])
    assert ran.exit_code == 0, ran.output
    assert "a0 and a1" in ran.output
    assert "Train a0 and a1 together; train b0 apart." in ran.output


def test_tasks_of_several_sources_are_compared_at_the_parameters(tmp_path: Path) -> None:
    frame, other = kin(0, 300), kin(0, 300)
    tree = {
        "name": "two",
        "sources": {
            "first": {"table": frame.drop("a1", "b0", "b1")},
            "second": {"table": other.drop("a0", "b0", "b1")},
        },
        "tasks": {"a0": {"kind": "regression", "source": "first"}, "a1": {"kind": "regression", "source": "second"}},
        "encoder": {"name": "mlp", "widths": [32, 32]},
        "train": {"epochs": 6, "batch_size": 64, "optimizer": {"lr": 0.01}},
    }
    path = affinity(config_from_dict(tree), folder=tmp_path / "run", check=True)
    kept = answer(path)
    assert kept["settings"]["at"] == "parameters"
    assert kept["groups"] == [["a0", "a1"]]  # two tables with the same hidden number
    with pytest.raises(ConfigError, match=r"affinity.at: is features, .*no feature is common .*; write parameters"):
        affinity(config_from_dict({**tree, "affinity": {"at": "features"}}), folder=tmp_path / "no")


def test_tasks_that_read_different_inputs_are_compared_at_the_parameters(tmp_path: Path) -> None:
    apart = config(
        kin(0, 300),
        inputs={"left": ["x0", "x1", "x2", "x3"], "right": ["x4", "x5", "x6", "x7"]},
        tasks={name: {"kind": "regression", "inputs": [side]} for name, side in (("a0", "left"), ("b0", "right"))},
    )
    path = affinity(apart, folder=tmp_path / "run")
    assert answer(path)["settings"]["at"] == "parameters"
    assert answer(path)["looks"] > 0


@pytest.mark.parametrize(
    "sharing",
    [{"name": "branched", "groups": [[["a0", "a1"], ["b0", "b1"]]]}, {"name": "cascade", "feeds": {"a0": ["b0"]}}],
)
def test_where_the_sharing_names_tasks_all_of_the_trunk_is_shared_while_they_are_compared(
    sharing: dict[str, Any],
) -> None:
    assert joined(config(kin(0, 20), sharing=sharing, balance="upgrad")).sharing.name == "hard"
    assert joined(config(kin(0, 20), sharing="mmoe")).sharing.name == "mmoe"
