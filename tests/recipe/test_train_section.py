"""Mistakes under `train:` are answered with file, line and path, through the command line as a person meets them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from cotrain.cli.main import app

CONFIG = """\
data: {path: rows.csv}
tasks: {wage: regression}
encoder: {name: mlp, widths: [4]}
train:
  TRAIN
"""

CASES = [
    ("mixup: yes", "5", "train.mixup", "expected a number"),
    ("mixup: -0.2", "5", "train.mixup", "above 0"),
    ("batch_size: automatic", "5", "train.batch_size", "did you mean 'auto'?"),
    ("optimizer: {lr: fast}", "5", "train.optimizer.lr", "expected a number, or 'auto', got the text 'fast'"),
    ("time_limit: 2 weeks", "5", "train.time_limit", "90s, 2m or 1h30m"),
    ("averaging: emma", "5", "train.averaging", "did you mean 'ema'?"),
    ("averaging: {name: swa, decay: 0.9}", "5", "train.averaging.decay", "read by ema only"),
    ("optimizer: {name: schedule_free_adamw}", "5", "train", "write `schedule: constant`"),
    ("optimizer: {groups: [{parameters: 'haeds.*', lr: 0.1}]}", "5", "train.optimizer.groups", "did you mean 'heads.*'?"),
    ("optimizer: {groups: [{parameters: 'heads.*', dekay: 0.1, lr: 1}]}", "5", "train.optimizer.groups[0].dekay", "unknown key"),
    ("optimizer: {groups: [{parameters: 'heads.*'}]}", "5", "train.optimizer.groups[0]", "changes nothing"),
    ("optimizer: {groups: {parameters: 'heads.*', lr: 1}}", "5", "train.optimizer.groups", "expected a list"),
]  # fmt: skip


@pytest.mark.parametrize(("train", "line", "path", "says"), CASES)
def test_a_mistake_under_train_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: str, line: str, path: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    age = [20 + one % 30 for one in range(60)]
    pl.DataFrame({"age": age, "wage": [one * 0.5 + one % 3 for one in age]}).write_csv("rows.csv")
    Path("c.yaml").write_text(CONFIG.replace("TRAIN", train), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "c.yaml"])
    text = " ".join(result.output.split())
    assert result.exit_code == 2, result.output
    assert "Traceback" not in text
    assert f"c.yaml:{line}:" in text, result.output
    assert path in text, result.output
    assert says in text, result.output
