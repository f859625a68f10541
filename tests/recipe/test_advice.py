"""What a comparison says may be tried where sharing harmed a task: a change of the config that the config takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from cotrain.cli.main import app
from cotrain.recipe.advice import advice
from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.yaml_source import parse_yaml
from cotrain.report.page import write_report

NAMES = ("a", "b: c", "d", "e")


def config(**more: Any) -> Config:
    columns = {name: [1.0, 2.0] for name in (*NAMES, "x")}
    return config_from_dict({"tasks": dict.fromkeys(NAMES, "regression"), **more}, table=columns)


def weights(said: str | None) -> dict[str, float]:
    """The weights of the balance that is proposed, which a config takes."""
    found = re.search(r"balance: \{.*?\}\}", said or "")
    assert found is not None
    balance = parse_yaml(found[0]).tree["balance"]
    assert config(balance=balance).balance.name == "static"
    proposed: dict[str, float] = balance["weights"]
    return proposed


def test_harmed_tasks_weigh_more_against_the_others() -> None:
    assert weights(advice(config(), ["b: c"])) == {"b: c": pytest.approx(1 / 0.3, rel=1e-2)}
    assert weights(advice(config(), ["a", "d", "e"])) == {"b: c": 0.3}
    own = config(balance={"name": "static", "weights": {"a": 2.0, "d": 0.5}})
    assert weights(advice(own, ["a"])) == {"a": pytest.approx(2 / 0.3, rel=1e-2), "d": 0.5}


@pytest.mark.parametrize(("balance", "harmed"), [("sum", NAMES), ("nash_mtl", ["a"])])
def test_else_less_is_shared(balance: str, harmed: tuple[str, ...]) -> None:
    said = advice(config(balance=balance), harmed)
    assert said is not None
    assert "weights: {" not in said
    change = re.search(r"sharing: \{.*?\}", said)
    assert change is not None
    assert config(**parse_yaml(change[0]).tree).sharing.settings == {"split": -1}


def test_nothing_is_said_where_nothing_was_harmed_or_nothing_is_shared() -> None:
    assert advice(config(), []) is None
    assert advice(config(sharing="none"), ["a"]) is None


def test_a_comparison_says_it_on_the_line_and_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 4))
    columns = {f"x{place}": x[:, place] for place in range(4)}
    pl.DataFrame({**columns, "first": 3 * x[:, 0], "second": 3 * x[:, 1]}).write_csv(tmp_path / "t.csv")
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(  # one shared number cannot carry both
        "data: {path: t.csv, cache: null}\ntasks: {first: regression, second: regression}\n"
        "encoder: {name: mlp, widths: [1], dropout: 0.0}\nhead: {name: mlp, widths: [8]}\n"
        "train: {epochs: 12, batch_size: 16, optimizer: {lr: 0.02}}\ncompare: {seeds: 5, boosting: false}\n",
        encoding="utf-8",
    )
    ran = CliRunner().invoke(app, ["compare", "c.yaml", "--folder", "run"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(Path("run/compare.json").read_text(encoding="utf-8"))
    assert found["harmed"]["joint (hard)"]
    assert found["advice"].startswith("What may mend it: ")
    assert found["advice"] in " ".join(ran.output.split())
    assert "What may mend it" in write_report(Path("run")).read_text(encoding="utf-8")
