"""Scores of a run as tables, one line a task and metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cotrain.cli.tables import print_table

Scores = Mapping[str, Mapping[str, float | None]]


def figure(value: float | None) -> str:
    """A score in four digits; a dash where there is none.

    >>> figure(0.93871), figure(None), figure(1234.56)
    ('0.9387', '-', '1235')
    """
    return "-" if value is None or value != value else f"{value:.4g}"


def print_scores(metrics: Mapping[str, Any]) -> None:
    """The test scores (or, without test rows, the validation scores) of a run, beside those of the best constant prediction.

    metrics: metrics.json.
    """
    splits: Mapping[str, Scores] = metrics["splits"]
    split = next((name for name in ("test", "valid") if splits.get(name)), None)
    if split is not None:
        print_split(split, splits[split], metrics.get("constant") or {})
        print_learnt(split, splits[split], metrics.get("learnt") or {})


def print_learnt(split: str, scores: Scores, learnt: Mapping[str, Mapping[str, Any]]) -> None:
    """What tasks learnt on the validation rows, and log loss, calibration error and F1 of a split before and after."""
    from cotrain.report.learnt_table import in_words

    rows = []
    for task, one in learnt.items():
        before, after = one["before"].get(split, {}), scores.get(task, {})
        moved = [
            metric for metric in ("log_loss", "calibration_error", "f1") if before.get(metric) != after.get(metric)
        ]
        for index, metric in enumerate(moved):
            said = (task, in_words(one)) if index == 0 else ("", "")
            rows.append([*said, metric, figure(before.get(metric)), figure(after.get(metric))])
    if rows:
        print_table(
            f"learnt on the validation rows, scored on {split} rows",
            ["task", "learnt", "metric", "before", "after"],
            rows,
            numbers=(3, 4),
        )


def print_split(split: str, scores: Scores, constant: Scores) -> None:
    """Scores of one split. constant: those of the best constant prediction, where they are known."""
    rows = []
    for task, values in scores.items():
        for index, (metric, value) in enumerate(values.items()):
            rows.append(
                [task if index == 0 else "", metric, figure(value), figure((constant.get(task) or {}).get(metric))]
            )
    print_table(f"{split} rows", ["task", "metric", "score", "constant"], rows, numbers=(2, 3))
