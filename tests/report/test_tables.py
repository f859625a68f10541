"""Tables hold the numbers of the files, aligned, with units, and the constant prediction beside every score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cotrain.report.data_tables import column_table, describe, label_table
from cotrain.report.reading import read_run
from cotrain.report.result_tables import cost_table, delta_table, gain_table, metric_table, score_table
from cotrain.report.run_folder import RunFolder
from cotrain.report.scores import relative_reduction, task_scores
from cotrain.report.tables import Table
from cotrain.report.words import THIN


def words(table: Table) -> list[list[str]]:
    return [[cell.text.replace(THIN, " ") for cell in row] for row in table.rows]


@pytest.fixture
def run(made_up: Callable[..., Any]) -> RunFolder:
    return read_run(made_up().all(epochs=4).folder)


def test_the_primary_score_stands_beside_the_constant_with_the_error_that_is_gone(run: RunFolder) -> None:
    rows = words(score_table(task_scores(run)))
    assert rows[0] == ["income", "0.8600", "0.5000", "+72.0 %", "0.8650"]
    assert rows[1] == ["married", "4.72", "14.30", "+67.0 %", "4.58"]


def test_every_metric_of_every_task_has_a_row(run: RunFolder) -> None:
    table = metric_table(task_scores(run))
    assert len(table.rows) == 5 + 3 + 3
    assert table.groups == {0: "income", 5: "married", 8: "age"}
    assert words(table)[7][0] == "R² ↑"


def test_gain_is_the_share_of_the_error_that_goes_away() -> None:
    assert relative_reduction(0.95, 0.90, True) == pytest.approx(0.5)
    assert relative_reduction(4.0, 5.0, False) == pytest.approx(0.2)
    assert relative_reduction(None, 5.0, False) is None
    assert relative_reduction(1.0, 1.0, True) is None


def test_every_variant_has_its_row_boosting_among_them(run: RunFolder) -> None:
    table = gain_table(run.comparison)
    assert [row[0] for row in words(table)][:4] == ["single-task", "joint (mmoe)", "joint (hard)", "boosting"]
    assert words(table)[0][2] == "reference"
    assert table.groups[4] == f"married · RMSE{THIN}↓ (years)"


def test_the_worst_and_the_harmed_tasks_are_named(run: RunFolder) -> None:
    rows = words(delta_table(run.comparison))
    harmed = run.comparison.harmed["joint (hard)"]
    assert rows[1] == ["joint (hard)", "+1.2 %", "+0.4 to +2.0 %", "income", ", ".join(harmed) or "none"]


def test_costs_stand_relative_to_single_task(run: RunFolder) -> None:
    table = cost_table(run)
    joint = table.rows[1]
    assert joint[1].text.replace(THIN, " ") == "1.23 M"
    assert [cell.note for cell in joint[1:4]] == ["0.33 ×", "0.33 ×", "0.42 ×"]
    assert words(table)[3][1:3] == ["–", "–"]


def test_targets_come_first_and_ignored_columns_last(run: RunFolder) -> None:
    roles = [row[1] for row in words(column_table(run.data.columns, run.data.rows))]
    assert roles[:3] == ["target"] * 3
    assert roles[-2:] == ["ignored"] * 2


def test_labels_are_counted_and_described(run: RunFolder) -> None:
    assert words(label_table(run.data))[0] == ["income", "59,857", "9,976", "29,929", "no 94 %, yes 6 %"]
    assert describe({"mean": 3.14159, "std": 1.0}) == "mean 3.14; std 1"
    assert describe({"classes": {str(i): 1 for i in range(10)}}).endswith("and 4 more")
