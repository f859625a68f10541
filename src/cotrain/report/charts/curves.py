"""Lines over the epochs: losses, the score that chooses the best epoch, weights and gradient norms.

Up to eight tasks have a colour and a dash each. More than eight are drawn as one grey sheaf with its mean, and the lowest and highest
task at the end named: forty colours tell a reader nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from cotrain.report.charts.base import DASHES, SERIES, Chart, Key, axis, hover, kept, layout, rounded
from cotrain.report.run_folder import Epoch
from cotrain.report.words import decimals_for, fixed, listed, percent, plural, shorten

Series = Mapping[str, Sequence[float | None]]


def loss_chart(epochs: Sequence[Epoch], tasks: Sequence[str], *, best: float | None) -> Chart | None:
    """Training and validation loss of every task; the loss of the best constant prediction is 1."""
    train = _series(epochs, tasks, "losses")
    valid = _series(epochs, tasks, "valid_loss")
    if len(epochs) < 2 or not (train or valid):
        return None
    shown, dotted = (valid, train) if valid else (train, {})
    x = [epoch.epoch for epoch in epochs]
    traces, keys = _lines(x, shown, "validation loss" if valid else "training loss", plain=True)
    if dotted:
        extra, _ = _lines(x, dotted, "training loss", plain=True)
        for trace in extra if len(dotted) <= SERIES else extra[-1:]:
            trace["line"] = {**trace["line"], "dash": "dot", "width": 1.25}
            trace["opacity"] = 0.8
        traces = (extra if len(dotted) <= SERIES else extra[-1:]) + traces
        keys += (Key("solid: validation", "@muted"), Key("dotted: training", "@muted", "dotted"))
    y = axis("loss / constant's loss")
    values = [v for series in (*shown.values(), *dotted.values()) for v in series if v is not None]
    _log_if_wide(y, values)
    shape = layout(_across(x), y)
    low, high = min(values), max(values)
    if low <= 1.0 <= high or high > 0.6:
        _level(shape, 1.0, "best constant prediction", log=y.get("type") == "log")
    _mark_epoch(shape, best)
    return Chart(
        "loss", "Loss", f"{_ends(shown, x)} 1 is the loss of the best constant prediction.", _figure(traces, shape), 340, keys,
        _thinned(len(x)),
    )  # fmt: skip


def score_chart(epochs: Sequence[Epoch], *, best: float | None) -> Chart | None:
    """The mean relative gain over the constant prediction on the validation split, which chooses the kept epoch."""
    x = [epoch.epoch for epoch in epochs]
    y = [epoch.score for epoch in epochs]
    known = [value for value in y if value is not None]
    if len(known) < 2:
        return None
    picks = kept(len(x))
    trace = _trace([x[i] for i in picks], [y[i] for i in picks], "@c0", "solid", 2.25)
    trace["hovertemplate"] = hover("mean over tasks", "gain", "+.1%")
    scale = {**axis("gain over the constant"), "tickformat": ".0%" if max(known) - min(known) > 0.04 else ".1%"}
    shape = layout(_across(x), scale)
    _mark_epoch(shape, best)
    summary = f"From {percent(known[0])} to {percent(known[-1])} over {plural(len(x), 'epoch')}; highest {percent(max(known))}."
    return Chart("score", "Validation score, all tasks", summary, _figure([trace], shape), 280, (), _thinned(len(x)))


def weight_chart(epochs: Sequence[Epoch], tasks: Sequence[str]) -> Chart | None:
    """The mean weight each task's gradient or loss had in each epoch, as applied; none where no weight ever moved."""
    weights = _series(epochs, tasks, "weights")
    if len(epochs) < 2 or not any(_moves(values) for values in weights.values()):
        return None
    x = [epoch.epoch for epoch in epochs]
    traces, keys = _lines(x, weights, "weight")
    y = axis("weight")
    _log_if_wide(y, [value for series in weights.values() for value in series if value is not None])
    if y.get("type") != "log":
        y["rangemode"] = "tozero"
    shape = layout(_across(x), y)
    return Chart("weights", "Task weights", _ends(weights, x), _figure(traces, shape), 300, keys, _thinned(len(x)))


def norm_chart(epochs: Sequence[Epoch], tasks: Sequence[str]) -> Chart | None:
    """The length of each task's gradient in the shared part, in powers of ten where the lengths are far apart."""
    norms = _series(epochs, tasks, "norms")
    if len(epochs) < 2 or not norms:
        return None
    x = [epoch.epoch for epoch in epochs]
    traces, keys = _lines(x, norms, "gradient norm")
    for trace in traces:
        trace["connectgaps"] = True  # measured every few epochs: what lies between is no gap
    y = axis("gradient norm")
    _log_if_wide(y, [value for series in norms.values() for value in series if value is not None], factor=10.0)
    shape = layout(_across(x), y)
    return Chart("norms", "Gradient norms", _ends(norms, x), _figure(traces, shape), 300, keys, _thinned(len(x)))


def _across(x: Sequence[float]) -> dict[str, Any]:
    """The axis of the epochs, from the first to the last, in whole steps."""
    space = 0.015 * (x[-1] - x[0])
    steps = {"dtick": 1} if x[-1] - x[0] <= 8 else {}
    return {**axis("epoch", grid=False), "range": [x[0] - space, x[-1] + space], **steps}


def _series(epochs: Sequence[Epoch], tasks: Sequence[str], name: str) -> dict[str, list[float | None]]:
    """{task: value per epoch} of one mapping in the log; tasks without any value are left out."""
    rows: list[Mapping[str, float | None]] = [getattr(epoch, name) for epoch in epochs]
    names = dict.fromkeys((*tasks, *(task for row in rows for task in row)))
    found = {task: [row.get(task) for row in rows] for task in names}
    return {task: values for task, values in found.items() if any(value is not None for value in values)}


def _lines(
    x: Sequence[float], series: Series, what: str, *, plain: bool = False
) -> tuple[list[dict[str, Any]], tuple[Key, ...]]:
    """Traces and legend; with `plain` the lines carry no dashes of their own."""
    picks = kept(len(x))
    xs = [x[i] for i in picks]
    traces, keys = [], []
    if len(series) <= SERIES:
        for index, (task, values) in enumerate(series.items()):
            dash = "solid" if plain else DASHES[index]
            trace = _trace(xs, [values[i] for i in picks], f"@c{index}", dash, 2.0)
            trace["hovertemplate"] = hover(task, what)
            traces.append(trace)
            keys.append(Key(shorten(task, 32), f"@c{index}", "line" if dash == "solid" else "dashed"))
        return traces, tuple(keys)
    ends = {task: next(v for v in reversed(values) if v is not None) for task, values in series.items()}
    lowest, highest = min(ends, key=lambda task: ends[task]), max(ends, key=lambda task: ends[task])
    special = {highest: ("@c1", "highest at the end"), lowest: ("@c2", "lowest at the end")}
    for task in sorted(series, key=lambda task: task in special):
        color, _ = special.get(task, ("@faint", ""))
        trace = _trace(xs, [series[task][i] for i in picks], color, "solid", 1.75 if task in special else 1.0)
        trace["hovertemplate"] = hover(task, what)
        traces.append(trace)
    mean = [_mean([values[i] for values in series.values()]) for i in picks]
    middle = _trace(xs, mean, "@c0", "solid", 2.75)
    middle["hovertemplate"] = hover(f"mean of {len(series)} tasks", what)
    traces.append(middle)
    keys = [Key(f"mean of {len(series)} tasks", "@c0")]
    keys += [Key(f"{shorten(task, 32)} ({words})", color) for task, (color, words) in special.items()]
    keys.append(Key("every other task", "@faint"))
    return traces, tuple(keys)


def _trace(x: Sequence[float], y: Sequence[float | None], color: str, dash: str, width: float) -> dict[str, Any]:
    few = sum(value is not None for value in y) <= 12
    return {
        "type": "scatter",
        "mode": "lines+markers" if few else "lines",
        "x": list(x),
        "y": rounded(y),
        "line": {"color": color, "width": width, "dash": dash},
        "marker": {"color": color, "size": 5},
    }


def _figure(traces: Sequence[dict[str, Any]], shape: dict[str, Any]) -> dict[str, Any]:
    return {"data": list(traces), "layout": shape}


def _moves(values: Sequence[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return max(known) - min(known) > 1e-6 * max(abs(value) for value in known)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _log_if_wide(y: dict[str, Any], values: Sequence[float], *, factor: float = 20.0) -> None:
    positive = [value for value in values if value > 0]
    if len(positive) == len(values) and positive and max(positive) > factor * min(positive):
        y.update(type="log", dtick="D2" if max(positive) < 1000 * min(positive) else 1, tickformat="~g")


def _level(shape: dict[str, Any], value: float, words: str, *, log: bool) -> None:
    shape["shapes"].append(
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "layer": "below",
         "line": {"color": "@muted", "width": 1, "dash": "dash"}}
    )  # fmt: skip
    place = 0.0 if log else value
    shape["annotations"].append(
        {"xref": "paper", "x": 1, "y": place, "text": words, "showarrow": False, "xanchor": "right", "yanchor": "bottom",
         "font": {"color": "@muted", "size": 12}}
    )  # fmt: skip


def _mark_epoch(shape: dict[str, Any], best: float | None) -> None:
    if best is None:
        return
    left, right = shape["xaxis"]["range"]
    side, shift = ("right", -3) if best > (left + right) / 2 else ("left", 3)
    shape["shapes"].append(
        {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": best, "x1": best, "layer": "below",
         "line": {"color": "@muted", "width": 1, "dash": "dot"}}
    )  # fmt: skip
    shape["annotations"].append(
        {"yref": "paper", "y": 0, "x": best, "text": f"kept: {best:g}", "showarrow": False, "xanchor": side,
         "yanchor": "bottom", "xshift": shift, "font": {"color": "@muted", "size": 12}}
    )  # fmt: skip


def _ends(series: Series, x: Sequence[float]) -> str:
    """First and last value of up to four tasks, or of the mean over many, in words."""
    parts = []
    if len(series) > SERIES:
        rows = [_mean(row) for row in zip(*series.values(), strict=True)]
        series = {f"the mean of {len(series)} tasks": rows}
    for task, values in series.items():
        known = [value for value in values if value is not None]
        places = decimals_for((known[0], known[-1]), digits=3)
        parts.append(f"{shorten(task, 40)} {fixed(known[0], places)} to {fixed(known[-1], places)}")
    return f"Over {plural(len(x), 'epoch')}: {listed(parts)}."


def _thinned(number: int) -> str:
    drawn = len(kept(number))
    return f"{drawn:,} of {number:,} epochs drawn." if drawn < number else ""
