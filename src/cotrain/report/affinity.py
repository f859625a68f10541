"""Which tasks belong together: the pairs as a heat map in the order of the groups, and what each group does for its tasks."""

from __future__ import annotations

from dataclasses import replace

from cotrain.report.charts import cosines
from cotrain.report.charts.base import Chart
from cotrain.report.run_folder import Affinity
from cotrain.report.tables import Cell, Head, Table, table
from cotrain.report.words import fixed, percent


def affinity_chart(affinity: Affinity) -> Chart | None:
    """The mean cosines, tasks of one group side by side, each group framed; None where no pair was met."""
    pairs = sorted(
        (cosines.Pair(one.first, one.second, one.cosine, one.cosine) for one in affinity.pairs),
        key=lambda one: one.mean,
    )
    order = [task for group in affinity.groups for task in group]
    chart = cosines.cosine_chart(pairs, order)
    if chart is None:
        return None
    frames, start = [], 0
    for group in affinity.groups:
        corner, end = start - 0.5, start + len(group) - 0.5
        start += len(group)
        if len(group) > 1:
            line = {"color": "@ink", "width": 2}
            frames.append({"type": "rect", "x0": corner, "x1": end, "y0": corner, "y1": end, "line": line})
    figure = {**chart.figure, "layout": {**chart.figure["layout"], "shapes": frames}}
    note = chart.note + (" Frames are the groups." if frames else "")
    return replace(chart, name="affinity", title="Gradient cosines, by group", figure=figure, note=note)


def affinity_table(affinity: Affinity) -> Table:
    """A row a task, under its group: what the group was predicted to do for it, and what it did where that was tried."""
    heads = [Head("Task"), Head("Predicted", "number", "mean of what the others of its group do for it")]
    if affinity.gains:
        heads += [Head("All together", "number"), Head("Its group", "number")]
    rows: list[list[Cell | str]] = []
    groups: dict[int, str] = {}
    for group in affinity.groups:
        groups[len(rows)] = "Together" if len(group) > 1 else "Apart"
        for task in group:
            row: list[Cell | str] = [task, fixed(affinity.predicted.get(task), 3)]
            if affinity.gains:
                row += [_gain(value) for value in affinity.gains.get(task, (None, None))]
            rows.append(row)
    caption = "Groups"
    if affinity.gains:
        caption += f", and how much less the error is than that of the task alone, on the {affinity.split or 'validation'} rows, one seed"
    made = table(caption, heads, rows)
    return Table(made.caption, made.heads, made.rows, groups)


def _gain(value: float | None) -> Cell:
    tone = "" if value is None else "good" if value > 0 else "bad" if value < 0 else "quiet"
    return Cell(percent(value), tone=tone)
