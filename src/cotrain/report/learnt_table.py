"""What tasks learnt on the validation rows, and what that did to the scores that depend on it."""

from __future__ import annotations

from collections.abc import Mapping

from cotrain.report.result_tables import metric_name
from cotrain.report.run_folder import Learnt, Metrics
from cotrain.report.tables import Cell, Head, Table, table
from cotrain.report.words import decimals_for, fixed, significant

BY_CHANCE = ("log_loss", "calibration_error")
BY_DECISION = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")


def learnt_table(metrics: Metrics) -> Table | None:
    """One row for every score that a tuned threshold or a calibration moves, before and after, on the test rows (else the validation rows)."""
    split = next((name for name in ("test", "valid") if metrics.splits.get(name)), None)
    if split is None:
        return None
    rows: list[list[Cell | str]] = []
    groups: dict[int, str] = {}
    for task, learnt in metrics.learnt.items():
        before, after = learnt.before.get(split, {}), metrics.splits[split].get(task, {})
        moved = [metric for metric in _moved(learnt) if metric in before and metric in after]
        if moved:
            groups[len(rows)] = f"{task}: {in_words(learnt)}"
        for metric in moved:
            places = decimals_for((before[metric], after[metric]))
            rows.append([metric_name(metric), fixed(before[metric], places), fixed(after[metric], places)])
    if not rows:
        return None
    heads = (Head("Metric"), Head("Before", "number"), Head("After", "number"))
    made = table(f"Thresholds and calibration, fitted on the validation rows; scores on the {split} rows", heads, rows)
    return Table(made.caption, made.heads, made.rows, groups)


def in_words(learnt: Learnt | Mapping[str, object]) -> str:
    """What was learnt, in a few words.

    >>> in_words(Learnt(0.25, "platt", {}))
    'yes from 0.25, platt calibration'
    """
    if isinstance(learnt, Mapping):
        threshold, calibration = learnt.get("threshold"), learnt.get("calibration")
        name = calibration.get("name") if isinstance(calibration, Mapping) else None
        learnt = Learnt(threshold if isinstance(threshold, float) else None, str(name) if name else None, {})
    said = [f"yes from {significant(learnt.threshold)}"] if learnt.threshold is not None else []
    said += [f"{learnt.calibration} calibration"] if learnt.calibration is not None else []
    return ", ".join(said) or "nothing"


def _moved(learnt: Learnt) -> tuple[str, ...]:
    chances = BY_CHANCE if learnt.calibration is not None else ()
    return (*chances, *(BY_DECISION if learnt.threshold is not None or learnt.calibration is not None else ()))
