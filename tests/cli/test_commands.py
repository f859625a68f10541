"""The commands go the whole way: config, check, train, evaluate, predict, compare, report; Ctrl-C can be gone on from."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from cotrain.cli.main import app

CONFIG = """\
data: {path: trees.csv, split: {method: stratified, fractions: [0.6, 0.2, 0.2]}}
tasks: {kind: binary, height: regression}
encoder: {name: mlp, widths: [8]}
train: {epochs: 2, batch_size: 32}
compare: {seeds: 1, variants: {gated: {sharing: {name: mmoe, experts: 2}}}}
"""


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, its table and a finished run."""
    folder = tmp_path_factory.mktemp("trees")
    draw = np.random.default_rng(0)
    girth, wet = draw.normal(2, 0.5, 200), draw.uniform(size=200)
    height = 5 * girth + draw.normal(size=200)
    kind = np.where(wet + girth + draw.normal(scale=0.2, size=200) > 2.5, "elm", "oak")
    pl.DataFrame({"girth": girth, "wet": wet, "height": height, "kind": kind, "one": 1}).write_csv(folder / "trees.csv")
    (folder / "trees.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = ask("train", "trees.yaml")
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[-1] == "runs/trees"
    return folder


@pytest.fixture(autouse=True)
def there(trees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trees)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"})


def test_check_prints_the_plan_within_eighty_columns() -> None:
    result = ask("check", "trees.yaml")
    assert result.exit_code == 0, result.output
    assert all(word in result.stdout for word in ("girth", "height", "regression", "train: 120", "epochs at most: 2"))
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_preset_fills_in_what_the_config_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text(
        f"data: {Path('trees.csv').resolve()}\ntasks: {{height: regression}}\ntrain: {{epochs: 2}}\n"
    )
    result = ask("train", str(tmp_path / "few.yaml"), "--preset", "fast", "--folder", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    assert "head: wide_deep" in (tmp_path / "run" / "config.yaml").read_text()
    wrong = ask("check", str(tmp_path / "few.yaml"), "--preset", "fst")
    assert wrong.exit_code == 2
    assert "did you mean 'fast'?" in wrong.output


def test_check_counts_what_a_wide_table_has_more(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 80))
    pl.DataFrame({f"c{index}": rows[:, index] for index in range(80)}).write_csv(tmp_path / "wide.csv")
    (tmp_path / "wide.yaml").write_text("data: wide.csv\ntasks: {c0: regression}\n")
    result = ask("check", str(tmp_path / "wide.yaml"))
    assert result.exit_code == 0, result.output
    assert "... and 20 more columns" in result.stdout


def test_evaluate_prints_what_metrics_json_holds() -> None:
    stored = json.loads(Path("runs/trees/metrics.json").read_text())["splits"]["test"]
    asked = json.loads(ask("evaluate", "runs/trees", "--json").stdout)
    assert asked["split"] == "test"
    assert asked["scores"]["kind"]["auc"] == pytest.approx(stored["kind"]["auc"])
    table = ask("evaluate", "runs/trees", "--split", "valid")
    assert table.exit_code == 0
    assert "valid rows" in table.stdout
    assert "rmse" in table.stdout


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.parquet", "out.jsonl", "out.arrow"])
def test_predictions_are_written_as_the_ending_says(name: str) -> None:
    result = ask("predict", "runs/trees", "trees.csv", "-o", name)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    readers = {"csv": pl.read_csv, "parquet": pl.read_parquet, "jsonl": pl.read_ndjson, "arrow": pl.read_ipc}
    ending = name.partition(".")[2]
    frame = pl.read_csv(name, separator="\t") if ending == "tsv" else readers[ending](name)
    assert frame.columns == ["kind", "kind_probability", "height"]
    assert frame.height == 200
    assert not list(Path().glob(".out*"))


def test_without_a_file_predictions_are_csv_on_stdout() -> None:
    result = ask("predict", "runs/trees", "trees.csv")
    assert result.stdout.splitlines()[0] == "kind,kind_probability,height"
    assert len(result.stdout.splitlines()) == 201


def test_compare_prints_scores_gains_and_a_verdict() -> None:
    result = ask("compare", "trees.yaml")
    assert result.exit_code == 0, result.output
    folder = result.stdout.splitlines()[-1]
    compared = json.loads((Path(folder) / "compare.json").read_text())
    assert all(one["name"] in result.stdout for one in compared["variants"])
    assert "gated" in result.stdout
    assert compared["verdict"] in " ".join(result.stdout.split())
    assert ask("report", folder).exit_code == 0


def test_report_prints_where_the_page_is() -> None:
    result = ask("report", "runs/trees")
    assert result.exit_code == 0, result.output
    page = Path(result.stdout.strip())
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


def test_training_and_comparing_say_what_is_odd_about_the_data() -> None:
    for command in ("train", "compare"):
        result = ask(command, "trees.yaml")
        assert "warning: left out as constant, so they say nothing: one" in " ".join(result.stderr.split())
        assert "warning" not in result.stdout


def test_a_second_training_gets_a_folder_of_its_own() -> None:
    result = ask("train", "trees.yaml")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("runs/trees-")
    assert result.stdout.splitlines()[-1] != ask("train", "trees.yaml").stdout.splitlines()[-1]


def test_ctrl_c_saves_and_says_how_to_go_on(trees: Path) -> None:
    Path("long.yaml").write_text(CONFIG.replace("epochs: 2, batch_size: 32", "epochs: 100000, early_stopping: null"))
    command = [sys.executable, "-m", "cotrain.cli.main", "train", "long.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    training = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    log = Path("runs/long/log.jsonl")
    deadline = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline and training.poll() is None:
        time.sleep(0.05)
    training.send_signal(signal.SIGINT)
    _, said = training.communicate(timeout=60)
    assert training.returncode == 130, said
    assert "saved in runs/long" in said
    assert "go on with: cotrain train long.yaml --resume" in said
    assert "Traceback" not in said
    done = len(log.read_text().splitlines())
    Path("long.yaml").write_text(
        CONFIG.replace("epochs: 2, batch_size: 32", f"epochs: {done + 2}, early_stopping: null")
    )
    result = ask("train", "long.yaml", "--resume")
    assert result.exit_code == 0, result.output
    assert len(log.read_text().splitlines()) >= done + 1


def test_a_training_that_breaks_down_ends_with_1_and_the_task() -> None:
    wild = "epochs: 200, clip: null, early_stopping: null, optimizer: {name: sgd, lr: 1.0e+30}"
    Path("wild.yaml").write_text(CONFIG.replace("epochs: 2", wild))
    result = ask("train", "wild.yaml")
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "not finite" in said
    assert "lower train.optimizer.lr" in said
    assert "Traceback" not in said


def test_help_takes_less_than_a_breath_of_cpu() -> None:
    command = [sys.executable, "-m", "cotrain.cli.main", "--help"]
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) <= 0.4


def test_new_columns_are_ignored_and_said() -> None:
    pl.read_csv("trees.csv").with_columns(pl.lit("x").alias("surprise")).write_csv("wide.csv")
    result = ask("predict", "runs/trees", "wide.csv", "-o", "wide.jsonl")
    assert result.exit_code == 0, result.output
    assert "surprise" in result.stderr
    assert "surprise" not in result.stdout


def test_a_threshold_moves_the_answers_of_a_yes_no_task() -> None:
    def yes(threshold: str) -> int:
        result = ask("predict", "runs/trees", "trees.csv", "--threshold", threshold)
        assert result.exit_code == 0, result.output
        return pl.read_csv(io.StringIO(result.stdout))["kind"].value_counts(sort=True)["count"][0]

    assert yes("kind=0.99999") == yes("kind=0.00001") == 200
    wrong = ask("predict", "runs/trees", "trees.csv", "--threshold", "kind:0.5")
    assert wrong.exit_code == 2
    assert "TASK=NUMBER" in wrong.output
    nobody = ask("predict", "runs/trees", "trees.csv", "--threshold", "knid=0.5")
    assert nobody.exit_code == 2
    assert "did you mean 'kind'?" in nobody.output
