"""What every chart shares: the Chart value, the quiet layout, colours as roles, and words made safe for Plotly.

Colours are roles such as "@c0" or "@ink"; the page replaces them with the reader's light or dark palette.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SERIES = 8
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "4px 2px 1px 2px", "8px 2px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")
THINNED_TO = 1000


@dataclass(frozen=True)
class Key:
    """One entry of a legend: its words, colour role, and how it is drawn (line, dashed, dotted, ring or a symbol)."""

    label: str
    color: str
    drawn: str = "line"


@dataclass(frozen=True)
class Chart:
    """One chart: a title, what it shows in a sentence (also for who cannot see it), Plotly's figure, its height in pixels."""

    name: str
    title: str
    summary: str
    figure: dict[str, Any]
    height: int
    keys: tuple[Key, ...] = ()
    note: str = ""
    width: int | None = None


def safe(words: str) -> str:
    """Words that Plotly shows as they are: it reads <b>, <a href> and &entities; in every text.

    >>> safe("<b>a & b</b>")
    '&lt;b&gt;a &amp; b&lt;/b&gt;'
    """
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return words.replace("%{", "%\N{ZERO WIDTH NON-JOINER}{")


def axis(title: str = "", *, grid: bool = True) -> dict[str, Any]:
    """A quiet axis that cannot be dragged, so that a finger scrolls the page and not the chart."""
    return {
        "title": {"text": title, "font": {"color": "@muted", "size": 12}, "standoff": 8},
        "fixedrange": True,
        "showgrid": grid,
        "gridcolor": "@grid",
        "zeroline": False,
        "linecolor": "@rule",
        "showline": not grid,
        "tickfont": {"color": "@muted", "size": 12},
        "automargin": True,
        "ticks": "",
    }


def layout(x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
    """A layout without legend, tool bar and background: the page draws these itself."""
    return {
        "xaxis": dict(x),
        "yaxis": dict(y),
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8, "pad": 4},
        "paper_bgcolor": "@card",
        "plot_bgcolor": "@card",
        "font": {"color": "@ink", "size": 13},
        "hoverlabel": {
            "bgcolor": "@card",
            "bordercolor": "@rule",
            "font": {"color": "@ink", "size": 13},
            "align": "left",
        },
        "shapes": [],
        "annotations": [],
    }


def rounded(values: Sequence[float | None]) -> list[float | None]:
    """Values with five significant digits, which no chart can tell apart from the full ones."""
    return [None if value is None else float(f"{value:.5g}") for value in values]


def kept(number: int, *, limit: int = THINNED_TO) -> list[int]:
    """Indices of the points to draw: all of them, or every n-th and the last where there are very many.

    >>> kept(3), len(kept(2500))
    ([0, 1, 2], 834)
    """
    step = -(-number // limit)
    return sorted({*range(0, number, step), number - 1}) if number else []


def hover(name: str, what: str, form: str = ".4g") -> str:
    """The words beside the pointer for a line over epochs; Plotly puts in the numbers."""
    return f"<b>{safe(name)}</b><br>epoch %{{x}}, {what}: %{{y:{form}}}<extra></extra>"
