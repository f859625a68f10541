"""The course of a search: every trial and the best so far, the trade-off of two objectives, and the settings side by side."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotrain.report.charts.base import Chart, Key, axis, layout, safe
from cotrain.report.tuned import Aim, Tried, Tuned
from cotrain.report.words import plural, shorten, significant

LINES = 9
"""So many settings stand side by side at most, the ones that mattered first."""

ROW = 44
"""Pixels of a setting's row: settings stand below each other, so that their names and ends can be read on a phone."""


def history_chart(tuned: Tuned) -> Chart | None:
    """A dot a trial, by the first objective, and the best so far as a line."""
    if len(tuned.complete) < 2 or not tuned.aims:
        return None
    aim = tuned.aims[0]
    done = sorted(tuned.complete, key=lambda one: one.number)
    values = [one.values[aim.name] for one in done]
    best = list(itertools.accumulate(values, max if aim.maximize else min))
    words = [f"trial {one.number}: {significant(one.values[aim.name])}" for one in done]
    x = [one.number for one in done]
    line = {"color": "@c0", "width": 2.25, "shape": "hv"}
    dots = {"color": "@muted", "size": 7}
    plain: dict[str, Any] = {"type": "scatter", "hoverinfo": "skip"}
    traces = [
        {**plain, "mode": "lines", "x": x, "y": best, "line": line},
        {**plain, "mode": "markers", "x": x, "y": values, "marker": dots, "hoverinfo": "text", "hovertext": words},
    ]
    early = [one for one in tuned.trials if one.state == "pruned" and one.ended is not None]
    keys = [Key("best so far", "@c0"), Key("trial", "@muted", "circle")]
    if early:
        ring = {"color": "@muted", "size": 7, "symbol": "x"}
        traces.append(
            {
                **plain,
                "mode": "markers",
                "x": [one.number for one in early],
                "y": [one.ended for one in early],
                "marker": ring,
            }
        )
        keys.append(Key("ended early", "@muted", "x"))
    traces += _ring(tuned, [one for one in done if one.number == tuned.picked], aim)
    summary = f"{plural(len(done), 'trial')}: {aim.name} from {significant(values[0])} in the first to {significant(best[-1])} at best."
    figure = {"data": traces, "layout": layout(axis("trial", grid=False), axis(aim.name))}
    return Chart("tuning", "What was tried", summary, figure, 320, (*keys, Key("picked", "@ink", "ring")))


def _ring(tuned: Tuned, shown: list[Tried], aim: Aim) -> list[dict[str, Any]]:
    """A ring around the picked trial."""
    return [
        {
            "type": "scatter", "mode": "markers", "hoverinfo": "skip", "x": [one.number], "y": [one.values[aim.name]],
            "marker": {"symbol": "circle-open", "size": 15, "color": "@ink", "line": {"color": "@ink", "width": 2}},
        }
        for one in shown
    ]  # fmt: skip


def front_chart(tuned: Tuned) -> Chart | None:
    """Two objectives against each other: the trials, those that no other beats, and the pick."""
    if len(tuned.aims) < 2 or len(tuned.complete) < 2:
        return None
    across, up = tuned.aims[1], tuned.aims[0]
    rest = [one for one in tuned.complete if one.number not in tuned.front]
    front = sorted(
        (one for one in tuned.complete if one.number in tuned.front), key=lambda one: one.values[across.name]
    )

    def dots(shown: list[Tried], marker: dict[str, Any], mode: str = "markers") -> dict[str, Any]:
        words = [
            f"trial {one.number}<br>"
            + "<br>".join(f"{safe(aim.name)} {significant(one.values[aim.name])}" for aim in tuned.aims)
            for one in shown
        ]
        return {
            "type": "scatter", "mode": mode, "x": [one.values[across.name] for one in shown],
            "y": [one.values[up.name] for one in shown], "marker": marker, "hovertext": words, "hoverinfo": "text",
            "line": {"color": "@c0", "width": 1.5, "dash": "dot"},
        }  # fmt: skip

    picked = [one for one in tuned.complete if one.number == tuned.picked]
    traces = [dots(rest, {"color": "@muted", "size": 7}), dots(front, {"color": "@c0", "size": 10}, "lines+markers")]
    line = {"color": "@ink", "width": 2}
    traces.append(dots(picked, {"symbol": "circle-open", "size": 17, "color": "@ink", "line": line}))
    x = axis(f"{across.name} ({'more' if across.maximize else 'less'} is better)")
    values = [one.values[across.name] for one in tuned.complete]
    if min(values) > 0 and max(values) / min(values) > 20:
        x["type"] = "log"
    figure = {"data": traces, "layout": layout(x, axis(f"{up.name} ({'more' if up.maximize else 'less'} is better)"))}
    summary = f"{plural(len(front), 'trial')} of {len(tuned.complete)} on the front of {up.name} and {across.name}."
    keys = (Key("front", "@c0", "circle"), Key("beaten", "@muted", "circle"), Key("picked", "@ink", "ring"))
    note = "" if len(tuned.aims) == 2 else " Further objectives stand in the table."
    return Chart("front", "Trade-off", summary, figure, 360, keys, note)


def settings_chart(tuned: Tuned) -> Chart | None:
    """Every complete trial as a line across its settings (parallel coordinates), the best quarter by the first objective in colour."""
    if len(tuned.complete) < 4 or not tuned.aims:
        return None
    aim = tuned.aims[0]
    done = sorted(tuned.complete, key=lambda one: one.values[aim.name], reverse=aim.maximize)
    weight = tuned.importance.get(aim.name) or {}
    names = [name for name in done[0].parameters if all(name in one.parameters for one in done)]
    names = [name for name in names if len({_text(one.parameters[name]) for one in done}) > 1]
    scales = [_scale(name, done) for name in sorted(names, key=lambda name: -(weight.get(name) or 0.0))[:LINES]]
    if not scales:
        return None
    good = max(1, len(done) // 4)
    traces = []
    for rank, one in reversed(list(enumerate(done))):
        picked = one.number == tuned.picked
        color = "@ink" if picked else "@c0" if rank < good else "@muted"
        words = f"trial {one.number}, {safe(aim.name)} {significant(one.values[aim.name])}"
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "y": list(range(len(scales))),
                "x": [scale.place(one.parameters[scale.name]) for scale in scales], "hoverinfo": "text",
                "hovertext": [f"{words}<br>{safe(scale.name)} {safe(_text(one.parameters[scale.name]))}" for scale in scales],
                "line": {"color": color, "width": 2.5 if picked else 1.5}, "marker": {"color": color, "size": 5},
                "opacity": 1.0 if rank < good or picked else 0.35,
            }
        )  # fmt: skip
    ticks = {"tickmode": "array", "tickvals": list(range(len(scales))), "ticktext": [scale.label for scale in scales]}
    y = {**axis(), **ticks, "range": [len(scales) - 0.4, -0.5], "gridcolor": "@rule"}
    x = {**axis(grid=False), "range": [-0.04, 1.04], "showticklabels": False, "showline": False}
    shape = layout(x, y)
    for place, scale in enumerate(scales):
        for end, side, text in ((0, "left", scale.low), (1, "right", scale.high)):
            shape["annotations"].append(
                {
                    "x": end,
                    "y": place,
                    "xanchor": side,
                    "yshift": -13,
                    "text": safe(text),
                    "showarrow": False,
                    "font": {"color": "@muted", "size": 11},
                }
            )
    summary = f"{plural(len(done), 'trial')} across {plural(len(scales), 'setting')}, each a line; the best quarter by {aim.name} in blue."
    keys = (Key("best quarter", "@c0"), Key("the others", "@muted"), Key("picked", "@ink"))
    note = "Settings that are there under a choice alone are left out."
    height = 50 + ROW * len(scales)
    return Chart("settings", "Settings side by side", summary, {"data": traces, "layout": shape}, height, keys, note)


@dataclass(frozen=True)
class Scale:
    """Where the values of one setting stand on its axis, from 0 to 1; low and high: what stands at the ends."""

    name: str
    label: str
    low: str
    high: str
    places: Mapping[str, float]

    def place(self, value: Any) -> float:
        return self.places[_text(value)]


def _scale(name: str, done: Sequence[Tried]) -> Scale:
    """Numbers by their size (its logarithm where they span a factor of twenty), everything else in the order of its text."""
    label = safe(shorten(name.removeprefix("train.").removeprefix("optimizer.").removeprefix("tasks."), 22))
    values = [one.parameters[name] for one in done]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        log = low > 0 and high / low > 20
        turned = math.log if log else float
        width = turned(high) - turned(low)
        places = {_text(value): (turned(value) - turned(low)) / width for value in numbers}
        return Scale(name, label, significant(low), significant(high), places)
    texts = sorted({_text(value) for value in values})
    places = {text: place / max(len(texts) - 1, 1) for place, text in enumerate(texts)}
    return Scale(name, label, shorten(texts[0], 12), shorten(texts[-1], 12), places)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
