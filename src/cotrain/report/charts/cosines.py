"""Cosines between the tasks' gradients in the shared part, averaged over the log, as a heat map; and who disagrees most."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cotrain.report.charts.base import Chart, axis, layout, safe
from cotrain.report.run_folder import Epoch
from cotrain.report.words import fixed, plural, shorten


@dataclass(frozen=True)
class Pair:
    """Two tasks and the cosine between their gradients: mean and lowest over the logged epochs.

    `forward` is the mean share of the second's loss that one plain step on the first alone takes away, `backward` the reverse; both
    to first order, None where the log has none.
    """

    first: str
    second: str
    mean: float
    lowest: float
    forward: float | None = None
    backward: float | None = None


def cosine_pairs(
    epochs: Sequence[Epoch], known: Iterable[str] = (), *, instead: Mapping[str, float | None] | None = None
) -> tuple[Pair, ...]:
    """All pairs, the least agreeing first, from the log, or from the mean cosines `instead` where the log has none.

    A key is "first|second"; names may hold "|" themselves, so it is cut where both parts are names of `known` tasks.
    """
    seen: dict[str, list[float]] = {}
    tasks = set(known) | {
        task for epoch in epochs for task in (*epoch.losses, *epoch.weights, *epoch.norms, *epoch.valid)
    }
    for epoch in epochs:
        for key, value in epoch.cosines.items():
            if value is not None:
                seen.setdefault(key, []).append(value)
    if not seen and instead:
        seen = {key: [value] for key, value in instead.items() if value is not None}
    pairs = []
    helps = _affinity(epochs, tasks)
    for key, values in seen.items():
        first, second = _parts(key, tasks, "|")
        if first != second:
            both = helps.get((first, second)), helps.get((second, first))
            pairs.append(Pair(first, second, statistics.fmean(values), min(values), *both))
    return tuple(sorted(pairs, key=lambda pair: pair.mean))


def _affinity(epochs: Sequence[Epoch], tasks: set[str]) -> dict[tuple[str, str], float]:
    seen: dict[str, list[float]] = {}
    for epoch in epochs:
        for key, value in epoch.affinity.items():
            if value is not None:
                seen.setdefault(key, []).append(value)
    return {_parts(key, tasks, ">"): statistics.fmean(values) for key, values in seen.items()}


def _parts(key: str, tasks: set[str], mark: str) -> tuple[str, str]:
    cuts = [index for index, letter in enumerate(key) if letter == mark]
    for cut in cuts:
        if key[:cut] in tasks and key[cut + 1 :] in tasks:
            return key[:cut], key[cut + 1 :]
    first, _, second = key.partition(mark)
    return first, second


def cosine_chart(pairs: Sequence[Pair], tasks: Sequence[str]) -> Chart | None:
    """The heat map from -1 (opposite, red) over 0 (unrelated) to 1 (parallel, blue)."""
    if not pairs:
        return None
    names = [name for name in tasks if any(name in (pair.first, pair.second) for pair in pairs)]
    names += sorted({name for pair in pairs for name in (pair.first, pair.second)} - set(names))
    number = len(names)
    place = {name: index for index, name in enumerate(names)}
    mean: list[list[float | None]] = [[None] * number for _ in names]
    words = [[""] * number for _ in names]
    for pair in pairs:
        i, j = place[pair.first], place[pair.second]
        text = (
            f"<b>{safe(pair.first)}</b><br><b>{safe(pair.second)}</b><br>"
            f"mean {fixed(pair.mean, 2)}, lowest {fixed(pair.lowest, 2)}"
        )
        mean[i][j] = mean[j][i] = round(pair.mean, 3)
        words[i][j] = words[j][i] = text
    cells = number <= 8
    width = min(720, 150 + max(64 if cells else 22, 160 // number) * number)
    labels = [safe(shorten(name, 16)) for name in names]
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(number)),
        "ticktext": labels,
        "showgrid": False,
        "showline": False,
    }
    size = 12 if number <= 16 else 9
    x = {**axis(grid=False), **ticks, "tickfont": {"color": "@muted", "size": size}, "tickangle": -35}
    if number > 16:
        x["showticklabels"] = False
    y = {**axis(grid=False), **ticks, "tickfont": {"color": "@muted", "size": size}, "autorange": "reversed"}
    figure = {
        "data": [
            {
                "type": "heatmap",
                "z": mean,
                "zmin": -1,
                "zmax": 1,
                "colorscale": [[0, "@low"], [0.5, "@middle"], [1, "@high"]],
                "xgap": 2 if cells else 1,
                "ygap": 2 if cells else 1,
                "hovertext": words,
                "hovertemplate": "%{hovertext}<extra></extra>",
                "hoverongaps": False,
                "text": [[fixed(value, 2) if value is not None and cells else "" for value in row] for row in mean],
                "texttemplate": "%{text}" if cells else "",
                "textfont": {"size": 13},
                "colorbar": {
                    "thickness": 8,
                    "len": 0.9,
                    "outlinewidth": 0,
                    "tickvals": [-1, 0, 1],
                    "ticktext": [fixed(-1.0, 0), "0", "1"],
                    "tickfont": {"color": "@muted", "size": 12},
                },
            }
        ],
        "layout": layout(x, y),
    }
    below = sum(pair.mean < 0 for pair in pairs)
    summary = (
        f"Cosines of {plural(len(pairs), 'pair')} of tasks, mean over the log: from {fixed(pairs[0].mean, 2)} "
        f"to {fixed(pairs[-1].mean, 2)}; {below} below zero."
    )
    height = min(760, 130 + max(44 if cells else 18, 120 // number) * number)
    note = "1: both tasks want the same step; 0: unrelated; below 0: a step for one undoes part of the other."
    if number > 16:
        note += " The columns stand in the order of the rows."
    return Chart("cosines", "Gradient cosines", summary, figure, height, note=note, width=width)
