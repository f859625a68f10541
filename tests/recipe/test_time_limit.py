"""`--time-limit` rules the config, for every training of a comparison too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from cotrain.cli.main import app
from cotrain.recipe import compare as comparing
from cotrain.recipe.config import Config, load_config
from cotrain.recipe.rows import load_rows

CONFIG = """\
data: {path: rows.csv}
tasks: {wage: regression, rich: binary}
encoder: {name: mlp, widths: [4]}
train: {epochs: 100000, batch_size: 16, early_stopping: null, time_limit: 1h}
compare: {seeds: 1, single_time: shared, variants: {slow: {train: {clip: 2.0}}, mmoe: {sharing: mmoe}}}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    age = [20 + one % 30 for one in range(120)]
    wage = [one * 0.5 + one % 3 for one in age]
    pl.DataFrame({"age": age, "wage": wage, "rich": [one > 18 for one in wage]}).write_csv("rows.csv")
    Path("c.yaml").write_text(CONFIG, encoding="utf-8")
    return load_config("c.yaml")


def test_it_rules_the_variants_with_settings_of_their_own(config: Config) -> None:
    limited = config.limited("2m")
    slow = limited.compare.variants["slow"].train
    assert slow is not None
    assert (limited.train.limit, slow.limit, slow.clip) == (120.0, 120.0, 2.0)
    assert limited.compare.variants["mmoe"].train is None
    assert config.train.limit == 3600.0


def test_the_command_line_rules_the_config_and_the_run_ends_in_time(config: Config) -> None:
    result = CliRunner().invoke(app, ["train", "c.yaml", "--time-limit", "1.5s", "--folder", "run"])
    assert result.exit_code == 0, result.output
    assert "training ended: time limit" in result.output
    assert load_config("run/config.yaml").train.limit == 1.5
    wrong = CliRunner().invoke(app, ["train", "c.yaml", "--time-limit", "soon"])
    assert wrong.exit_code == 2
    assert "90s, 2m or 1h30m, got 'soon'" in " ".join(wrong.output.split())


def test_single_task_networks_share_the_time_or_have_as_much_each(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SeenError(Exception):
        pass

    def seen(config: Config, *args: Any, **more: Any) -> Any:
        raise SeenError(config.train.limit)

    monkeypatch.setattr(comparing, "train_network", seen)
    rows = load_rows(config)
    with pytest.raises(SeenError, match=r"^1800\.0$"):
        comparing._single(config, rows, 0)
    assert "1800 s each, as long in all" in comparing.time_given(config, 2)
    each = config.limited("1m")
    object.__setattr__(each.compare, "single_time", "each")
    with pytest.raises(SeenError, match=r"^60\.0$"):
        comparing._single(each, rows, 0)
    assert "every network may take 60 s" in comparing.time_given(each, 2)
