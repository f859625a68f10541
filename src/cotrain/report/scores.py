"""Scores beside the constant prediction: how much of a task's error is gone, and in which metric."""

from __future__ import annotations

from dataclasses import dataclass

from cotrain.report.run_folder import RunFolder


@dataclass(frozen=True)
class MetricRow:
    """One metric of one task over the splits, and the score of the best constant prediction on the test split."""

    metric: str
    valid: float | None
    test: float | None
    constant: float | None
    higher_is_better: bool | None
    primary: bool


@dataclass(frozen=True)
class TaskScore:
    """All metrics of a task, the primary one first, and the share of the constant prediction's error that is gone."""

    task: str
    kind: str | None
    rows: tuple[MetricRow, ...]
    improvement: float | None

    @property
    def primary(self) -> MetricRow | None:
        """The row of the primary metric."""
        return next((row for row in self.rows if row.primary), None)


def error(value: float | None, higher_is_better: bool | None) -> float | None:
    """The error of a score: itself where lower is better, its distance from 1 where higher is better."""
    if value is None or higher_is_better is None:
        return None
    return 1.0 - value if higher_is_better else value


def relative_reduction(value: float | None, reference: float | None, higher_is_better: bool | None) -> float | None:
    """(reference error - error) / reference error; None where one is unknown or the reference has no error.

    >>> relative_reduction(0.95, 0.5, True)
    0.9
    >>> relative_reduction(3.0, 4.0, False), relative_reduction(1.0, 0.0, False)
    (0.25, None)
    """
    mine, theirs = error(value, higher_is_better), error(reference, higher_is_better)
    if mine is None or theirs is None or theirs <= 0:
        return None
    return round((theirs - mine) / theirs, 12)


def task_scores(run: RunFolder) -> tuple[TaskScore, ...]:
    """Every task's metrics, in the order of the tasks; empty where the run was not evaluated."""
    metrics = run.metrics
    if metrics is None:
        return ()
    valid, test = metrics.splits.get("valid", {}), metrics.splits.get("test", {})
    known = {task.name: task for task in run.structure.tasks} if run.structure is not None else {}
    compared = {task.name: task for task in run.comparison.tasks} if run.comparison is not None else {}
    found = []
    for task in dict.fromkeys((*run.tasks, *valid, *test)):
        info = known.get(task)
        primary = info.primary if info is not None else compared[task].primary if task in compared else None
        constant = metrics.constant.get(task, {})
        names = dict.fromkeys((*valid.get(task, {}), *test.get(task, {}), *constant))
        if primary is None and names:
            primary = next(iter(names))
        better = metrics.higher_is_better.get(task, {})
        rows = tuple(
            MetricRow(
                metric=name,
                valid=valid.get(task, {}).get(name),
                test=test.get(task, {}).get(name),
                constant=constant.get(name),
                higher_is_better=better.get(name),
                primary=name == primary,
            )
            for name in sorted(names, key=lambda name: name != primary)
        )
        head = next((row for row in rows if row.primary), None)
        improvement = None
        if head is not None:
            improvement = relative_reduction(head.test, head.constant, head.higher_is_better)
        found.append(TaskScore(task, info.kind if info is not None else None, rows, improvement))
    return tuple(found)
