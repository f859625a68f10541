"""Tables of what came out: scores beside the constant prediction, gains over single-task, cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from cotrain.report.charts.cosines import Pair
from cotrain.report.drawings import bar
from cotrain.report.run_folder import Comparison, Cost, Epoch, Gain, RunFolder, Variant
from cotrain.report.scores import MetricRow, TaskScore, error
from cotrain.report.tables import Cell, Head, Table, table
from cotrain.report.verdict import is_harmed
from cotrain.report.words import (
    MISSING,
    THIN,
    count,
    decimals_for,
    duration,
    fixed,
    interval,
    memory,
    percent,
    plural,
    scaled,
    significant,
)

CAPITALS = {
    "auc": "AUC",
    "rmse": "RMSE",
    "rrmse": "RRMSE",
    "mae": "MAE",
    "mse": "MSE",
    "f1": "F1",
    "r2": "R²",
    "ece": "ECE",
    "d2": "D²",
    "rmsle": "RMSLE",
    "kappa": "weighted κ",
    "iou": "IoU",
    "iou50": "at IoU .5",
}


def score_table(scores: Sequence[TaskScore]) -> Table | None:
    """One row a task: its primary metric on validation and test, the constant prediction, the share of error gone."""
    shown = [(score, row) for score in scores if (row := score.primary) is not None]
    if not shown:
        return None
    rows: list[list[Cell | str]] = []
    for score, row in shown:
        places = decimals_for((row.valid, row.test, row.constant))
        tone = "" if score.improvement is None else "good" if score.improvement > 0 else "bad"
        rows.append(
            [
                Cell(score.task, " · ".join(part for part in (score.kind, _arrow(row)) if part)),
                Cell(fixed(row.test, places), tone="strong"),
                fixed(row.constant, places),
                Cell(percent(score.improvement), tone=tone, drawing=bar(score.improvement)),
                fixed(row.valid, places),
            ]
        )
    heads = (
        Head("Task"),
        Head("Test", "number"),
        Head("Constant", "number", "the best constant prediction, on the test split"),
        Head("Error gone", "number", "share of the constant prediction's error that is gone, on the test split"),
        Head("Validation", "number"),
    )
    return table("Primary metric of each task, beside the best constant prediction", heads, rows)


def metric_table(scores: Sequence[TaskScore]) -> Table | None:
    """Every metric of every task, grouped by task."""
    rows: list[list[Cell | str]] = []
    groups: dict[int, str] = {}
    for score in scores:
        if score.rows:
            groups[len(rows)] = score.task
        for row in score.rows:
            places = decimals_for((row.valid, row.test, row.constant))
            rows.append(
                [
                    Cell(_arrow(row), tone="strong" if row.primary else ""),
                    fixed(row.test, places),
                    fixed(row.constant, places),
                    fixed(row.valid, places),
                ]
            )
    if not rows:
        return None
    heads = (Head("Metric"), Head("Test", "number"), Head("Constant", "number"), Head("Validation", "number"))
    made = table("All metrics of each task", heads, rows, tall=len(rows) > 30)
    return Table(made.caption, made.heads, made.rows, groups, made.tall)


def _arrow(row: MetricRow) -> str:
    if row.higher_is_better is None:
        return metric_name(row.metric)
    return f"{metric_name(row.metric)}{THIN}{'↑' if row.higher_is_better else '↓'}"


def metric_name(name: str) -> str:
    """A metric's name as the field writes it.

    >>> metric_name("auc"), metric_name("macro_f1"), metric_name("log_loss")
    ('AUC', 'macro F1', 'log loss')
    """
    return " ".join(CAPITALS.get(word, word) for word in name.split("_"))


def gain_table(comparison: Comparison) -> Table | None:
    """One row for every task and variant: the score over seeds, and the gain over single-task with its interval."""
    tasks = list(dict.fromkeys((*(task.name for task in comparison.tasks), *(gain.task for gain in comparison.gains))))
    facts = {task.name: task for task in comparison.tasks}
    gains = {(gain.variant, gain.task): gain for gain in comparison.gains}
    rows: list[list[Cell | str]] = []
    groups: dict[int, str] = {}
    for task in tasks:
        fact = facts.get(task)
        values = [v for variant in comparison.variants for v in variant.scores.get(task, ())]
        places = decimals_for(values)
        start = len(rows)
        best = _best(comparison, task, None if fact is None else fact.higher_is_better)
        for variant in comparison.variants:
            known = [v for v in variant.scores.get(task, ()) if v is not None]
            gain = gains.get((variant.name, task))
            if not known and gain is None:
                continue
            mean = statistics.fmean(known) if known else None
            spread = f"± {fixed(statistics.stdev(known), places)}" if len(known) > 1 else ""
            rows.append(
                [
                    Cell(variant.name, variant.kind if variant.kind not in variant.name else ""),
                    Cell(fixed(mean, places), tone="strong" if variant.name == best else ""),
                    *_gain_cells(comparison, variant, gain),
                    Cell(spread, tone="quiet"),
                ]
            )
        if len(rows) > start:
            metric = f" · {metric_name(fact.primary)}" if fact is not None and fact.primary else ""
            arrow = {True: f"{THIN}↑", False: f"{THIN}↓", None: ""}[fact.higher_is_better if fact is not None else None]
            unit = f" ({fact.unit})" if fact is not None and fact.unit else ""
            groups[start] = f"{task}{metric}{arrow}{unit}"
    if not rows:
        return None
    heads = (
        Head("Variant"),
        Head("Score", "number", f"mean over {plural(len(comparison.seeds), 'seed')}"),
        Head("Gain", "number", "relative reduction of the primary error against single-task"),
        Head("Interval", "number", "of the gain"),
        Head("Spread", "number", "standard deviation of the score over seeds"),
    )
    made = table("Primary score of each variant and its gain over single-task", heads, rows, tall=len(rows) > 30)
    return Table(made.caption, made.heads, made.rows, groups, made.tall)


def _gain_cells(comparison: Comparison, variant: Variant, gain: Gain | None) -> list[Cell]:
    if gain is None:
        return [Cell("reference" if variant.kind == "single" else MISSING, tone="quiet"), Cell("", tone="quiet")]
    tone = "bad" if is_harmed(comparison, gain) else "good" if gain.low is not None and gain.low > 0 else ""
    return [Cell(percent(gain.gain), tone=tone), Cell(interval(gain.low, gain.high))]


def _best(comparison: Comparison, task: str, higher: bool | None) -> str | None:
    means = {}
    for variant in comparison.variants:
        errors = [e for v in variant.scores.get(task, ()) if (e := error(v, higher)) is not None]
        if errors:
            means[variant.name] = statistics.fmean(errors)
    return min(means, key=lambda name: means[name]) if len(means) > 1 else None


def delta_table(comparison: Comparison) -> Table | None:
    """Δm of the literature for each variant, its worst task and the tasks it harmed."""
    names = [variant.name for variant in comparison.variants if variant.name in comparison.delta_m]
    names += [name for name in comparison.delta_m if name not in names]
    rows: list[list[Cell | str]] = []
    for name in names:
        delta = comparison.delta_m[name]
        gains = [gain for gain in comparison.gains if gain.variant == name and gain.gain is not None]
        worst = comparison.worst.get(name)
        if worst is None and gains:
            worst = min(gains, key=lambda gain: gain.gain or 0.0).task
        value = next((gain.gain for gain in gains if gain.task == worst), None)
        harmed = [gain.task for gain in gains if is_harmed(comparison, gain)]
        rows.append(
            [
                name,
                percent(delta.value),
                interval(delta.low, delta.high),
                Cell(worst or MISSING, percent(value) if value is not None else ""),
                Cell(", ".join(harmed) or "none", tone="bad" if harmed else "quiet"),
            ]
        )
    if not rows:
        return None
    heads = (
        Head("Variant"),
        Head("Δm", "number", "mean relative change of the primary metric, better is positive"),
        Head("Over seeds", "number", "lowest and highest seed"),
        Head("Worst task"),
        Head("Harmed", "text"),
    )
    return table("All tasks together", heads, rows)


def cost_table(run: RunFolder) -> Table | None:
    """Parameters, FLOPs, seconds and memory of this run, or of every variant with its ratio to single-task."""
    columns = (
        ("Parameters", "parameters", scaled),
        ("FLOPs a row", "flops_per_row", scaled),
        ("Training", "seconds", duration),
        ("Peak memory", "peak_memory_mib", memory),
    )
    costs: list[tuple[str, str, Cost]] = []
    reference: Cost | None = None
    if run.comparison is not None:
        costs = [(v.name, v.kind if v.kind not in v.name else "", v.cost) for v in run.comparison.variants]
        reference = next((v.cost for v in run.comparison.variants if v.kind == "single"), None)
    elif run.metrics is not None:
        costs = [("this run", "", run.metrics.cost)]
    costs = [one for one in costs if any(getattr(one[2], key) is not None for _, key, _ in columns)]
    if not costs:
        return None
    rows: list[list[Cell | str]] = []
    for name, kind, cost in costs:
        row: list[Cell | str] = [Cell(name, kind)]
        for _, key, words in columns:
            value: float | None = getattr(cost, key)
            base: float | None = getattr(reference, key) if reference is not None and cost is not reference else None
            ratio = f"{significant(value / base, digits=2)} ×" if value is not None and base else ""
            row.append(Cell(words(value), ratio))
        rows.append(row)
    caption = "Cost of each variant, all tasks together; × is relative to the single-task networks"
    if run.comparison is None:
        caption = "Cost of this run"
        rate = costs[0][2].rows_per_second
        for row in rows:
            row.append(f"{count(rate)}{THIN}rows/s" if rate is not None else MISSING)
    heads = [Head("Variant"), *(Head(label, "number") for label, _, _ in columns)]
    if run.comparison is None:
        heads.append(Head("Throughput", "number"))
    return table(caption, heads, rows)


def pair_table(pairs: Sequence[Pair], *, limit: int = 10) -> Table | None:
    """The pairs of tasks whose gradients agree least, with what a step for one does to the other where the log says."""
    if not pairs:
        return None
    rows: list[list[Cell | str]] = []
    directed = any(pair.forward is not None or pair.backward is not None for pair in pairs)
    for pair in pairs[:limit]:
        row: list[Cell | str] = [
            Cell(f"{pair.first} · {pair.second}"),
            Cell(fixed(pair.mean, 2), tone="bad" if pair.mean < -0.05 else ""),
            fixed(pair.lowest, 2),
        ]
        rows.append(row + ([percent(pair.forward, decimals=3), percent(pair.backward, decimals=3)] if directed else []))
    heads = [Head("Pair", "text"), Head("Mean cosine", "number"), Head("Lowest", "number")]
    if directed:
        what = "share of its loss that one plain step on the other task alone takes away, to first order, mean over the log"
        heads += [Head("First helps second", "number", what), Head("Second helps first", "number", what)]
    caption = (
        "Cosines of gradients" if len(pairs) <= limit else f"The {limit} pairs of {count(len(pairs))} that agree least"
    )
    return table(caption, heads, rows)


def balance_table(epochs: Sequence[Epoch], tasks: Sequence[str]) -> Table | None:
    """Each task's weight and gradient norm over the log: mean, lowest, highest."""
    names = dict.fromkeys((*tasks, *(name for epoch in epochs for name in (*epoch.weights, *epoch.norms))))
    rows: list[list[Cell | str]] = []
    for name in names:
        weights = [v for epoch in epochs if (v := epoch.weights.get(name)) is not None]
        norms = [v for epoch in epochs if (v := epoch.norms.get(name)) is not None]
        if not weights and not norms:
            continue
        cells: list[Cell | str] = [Cell(name)]
        for values in (weights, norms):
            cells.append(significant(statistics.fmean(values)) if values else MISSING)
            cells.append(f"{significant(min(values))} to {significant(max(values))}" if values else MISSING)
        rows.append(cells)
    if not rows:
        return None
    heads = (
        Head("Task"),
        Head("Weight", "number", "mean over the epochs"),
        Head("range", "number"),
        Head("Gradient norm", "number", "mean over the epochs"),
        Head("range", "number"),
    )
    return table("Weights and gradient norms over the epochs", heads, rows, tall=len(rows) > 20)
