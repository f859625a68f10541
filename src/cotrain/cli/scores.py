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


def print_split(split: str, scores: Scores, constant: Scores) -> None:
    """Scores of one split. constant: those of the best constant prediction, where they are known."""
    rows = []
    for task, values in scores.items():
        for index, (metric, value) in enumerate(values.items()):
            rows.append(
                [task if index == 0 else "", metric, figure(value), figure((constant.get(task) or {}).get(metric))]
            )
    print_table(f"{split} rows", ["task", "metric", "score", "constant"], rows, numbers=(2, 3))
