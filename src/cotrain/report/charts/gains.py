"""Gain over single-task as dots with whiskers: one block a task, one row a variant, a faint dot for each seed."""

from __future__ import annotations

from typing import Any

from cotrain.report.charts.base import SERIES, SYMBOLS, Chart, Key, axis, layout, safe
from cotrain.report.run_folder import Comparison, Gain
from cotrain.report.verdict import main_variant
from cotrain.report.words import interval, percent, plural, shorten

ROW = 22
MANY = 12
FURTHEST = -1.0
"""Left end of the axis at most: a task with many times its single-task error would squash all others."""


def gain_chart(comparison: Comparison) -> Chart | None:
    """Dots right of zero are less error than single-task; a filled dot's interval does not reach zero."""
    gains = [gain for gain in comparison.gains if gain.gain is not None]
    if not gains:
        return None
    tasks = list(dict.fromkeys((*(task.name for task in comparison.tasks), *(gain.task for gain in gains))))
    note = ""
    if len(tasks) > MANY:
        tasks, gains, note = _only(comparison, gains)
    variants = list(dict.fromkeys(gain.variant for gain in gains))
    left, right = _range(gains)
    shape = layout(
        _x_axis(left, right), {"fixedrange": True, "showgrid": False, "zeroline": False, "showticklabels": False}
    )
    traces: list[dict[str, Any]] = []
    row, outside = 0.0, 0
    for task in tasks:
        mine = [gain for gain in gains if gain.task == task]
        if not mine:
            continue
        shape["annotations"].append(
            {"xref": "paper", "x": 0, "y": row, "text": safe(shorten(task, 44)), "showarrow": False, "xanchor": "left",
             "bgcolor": "@card", "borderpad": 2, "font": {"color": "@ink", "size": 13}, "hovertext": safe(task)}
        )  # fmt: skip
        if row:
            shape["shapes"].append(
                {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": row - 0.75, "y1": row - 0.75, "layer": "below",
                 "line": {"color": "@grid", "width": 1}}
            )  # fmt: skip
        for gain in mine:
            row += 1.0
            outside += (gain.gain or 0.0) < left
            traces += _dot(gain, row, variants.index(gain.variant) % SERIES, left)
        row += 1.6
    shape["yaxis"]["range"] = [row - 0.8, -0.9]
    shape["shapes"].append(
        {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": 0, "x1": 0, "layer": "below",
         "line": {"color": "@muted", "width": 1.5}}
    )  # fmt: skip
    keys = tuple(
        Key(shorten(name, 32), f"@c{index % SERIES}", SYMBOLS[index % SERIES]) for index, name in enumerate(variants)
    )
    keys += (Key("hollow: the interval reaches zero", "@muted", "ring"),)
    if any(gain.per_seed for gain in gains):
        keys += (Key("faint: one seed", "@faint", "circle"),)
    if outside:
        note += f" {plural(outside, 'dot')} further left, drawn as a triangle at the edge."
    clear = sum(gain.low is not None and gain.low > 0 for gain in gains)
    below = sum(gain.high is not None and gain.high < 0 for gain in gains)
    summary = (
        f"{plural(len(gains), 'gain')} over single-task: {clear} with the whole interval above zero, {below} below zero, "
        f"{len(gains) - clear - below} not to be told from zero. The table below holds the numbers."
    )
    return Chart(
        "gains",
        "Gain over single-task",
        summary,
        {"data": traces, "layout": shape},
        round(ROW * (row + 1)) + 64,
        keys,
        note,
    )


def _only(comparison: Comparison, gains: list[Gain]) -> tuple[list[str], list[Gain], str]:
    """The tasks by falling gain, the gains of the variant the verdict is about alone, and a note that says so."""
    main = main_variant(comparison)
    name = main.name if main is not None and any(gain.variant == main.name for gain in gains) else gains[0].variant
    kept = sorted((gain for gain in gains if gain.variant == name), key=lambda gain: -(gain.gain or 0.0))
    others = len({gain.variant for gain in gains}) - 1
    note = f"{name}, by falling gain" + (f"; {plural(others, 'other variant')} in the table." if others else ".")
    return [gain.task for gain in kept], kept, note


def _range(gains: list[Gain]) -> tuple[float, float]:
    values = [v for g in gains for v in (g.gain, g.low, g.high, *g.per_seed) if v is not None]
    low, high = max(FURTHEST, min(values)), min(1.0, max(0.0, *values))
    low = min(low, 0.0)
    space = 0.06 * max(high - low, 0.01)
    return low - space, high + space


def _x_axis(left: float, right: float) -> dict[str, Any]:
    wide = right - left
    return {
        **axis("less error than single-task  →"),
        "range": [left, right],
        "tickformat": "+.0%" if wide > 0.05 else "+.1%" if wide > 0.005 else "+.2%",
        "labelalias": {"+0%": "0", "+0.0%": "0", "+0.00%": "0"},
        "nticks": 7,
    }


def _dot(gain: Gain, row: float, index: int, left: float) -> list[dict[str, Any]]:
    value = gain.gain or 0.0
    words = f"<b>{safe(gain.task)}</b><br>{safe(gain.variant)}: {percent(gain.gain)}"
    if gain.low is not None and gain.high is not None:
        words += f"<br>{interval(gain.low, gain.high)}"
    reaches = gain.low is None or gain.high is None or gain.low <= 0 <= gain.high
    hidden = value < left
    symbol = "triangle-left" if hidden else SYMBOLS[index]
    at = max(value, left)
    color = f"@c{index}"
    seeds = [seed for seed in gain.per_seed if seed is not None and seed >= left]
    traces: list[dict[str, Any]] = []
    if seeds:
        traces.append(
            {"type": "scatter", "mode": "markers", "x": seeds, "y": [row] * len(seeds), "hoverinfo": "skip",
             "marker": {"color": color, "size": 6, "opacity": 0.28}}
        )  # fmt: skip
    if gain.low is not None and gain.high is not None and not hidden:
        traces.append(
            {"type": "scatter", "mode": "lines", "x": [max(gain.low, left), gain.high], "y": [row, row],
             "hoverinfo": "skip", "line": {"color": color, "width": 2}}
        )  # fmt: skip
    traces.append(
        {"type": "scatter", "mode": "markers", "x": [at], "y": [row], "hovertext": [words],
         "hovertemplate": "%{hovertext}<extra></extra>",
         "marker": {"symbol": symbol, "size": 11, "color": "@card" if reaches else color, "line": {"color": color, "width": 2}}}
    )  # fmt: skip
    return traces
