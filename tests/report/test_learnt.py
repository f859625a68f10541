"""Thresholds and calibration on the page and at the command line: what was learnt, and the scores before and after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotrain.cli.scores import print_scores
from cotrain.report.learnt_table import in_words, learnt_table
from cotrain.report.page import write_report
from cotrain.report.reading import read_run

METRICS = {
    "format": 1,
    "splits": {"test": {"sold": {"auc": 0.9, "log_loss": 0.31, "calibration_error": 0.012, "f1": 0.61}}},
    "learnt": {
        "sold": {
            "threshold": 0.23,
            "reached": 0.64,
            "calibration": {"name": "temperature", "temperature": 1.8},
            "notes": [],
            "before": {"test": {"auc": 0.9, "log_loss": 0.35, "calibration_error": 0.07, "f1": 0.48}},
        }
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    return tmp_path


def test_the_table_has_the_scores_that_moved_before_and_after(folder: Path) -> None:
    metrics = read_run(folder).metrics
    assert metrics is not None
    found = learnt_table(metrics)
    assert found is not None
    assert found.groups == {0: "sold: yes from 0.23, temperature calibration"}
    cells = {row[0].text: (float(row[1].text), float(row[2].text)) for row in found.rows}
    assert cells == {"log loss": (0.35, 0.31), "calibration error": (0.07, 0.012), "F1": (0.48, 0.61)}


def test_the_page_shows_it(folder: Path) -> None:
    page = write_report(folder).read_text("utf-8")
    assert "Thresholds and calibration, fitted on the validation rows" in page


def test_a_run_that_learnt_nothing_has_no_table(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({**METRICS, "learnt": {}}))
    metrics = read_run(tmp_path).metrics
    assert metrics is not None
    assert learnt_table(metrics) is None


def test_the_command_line_says_it_after_the_scores(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores(METRICS)
    said = capsys.readouterr().out
    assert "learnt on the validation rows" in said
    assert "0.07" in said
    assert in_words(METRICS["learnt"]["sold"]) == "yes from 0.23, temperature calibration"  # type: ignore[index]
