"""The outcome of a comparison as tables and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from cotrain.cli.scores import figure
from cotrain.cli.tables import print_table
from cotrain.recipe.auto_groups import listed_groups

WIDE = 4
"""With more tasks than this, tasks stand in rows and variants in columns."""


def print_verdict(compared: Mapping[str, Any]) -> None:
    """Scores of every variant, gains over single-task with their intervals, cost, and the verdict. `compared`: compare.json."""
    tasks: Mapping[str, Any] = compared["tasks"]
    names = [f"{task}\n{about['primary']}" for task, about in tasks.items()] + ["seconds"]
    heads = [variant["name"] for variant in compared["variants"]]
    cells = [
        [
            *(figure(_mean(variant["scores"].get(task))) for task in tasks),
            figure((variant.get("cost") or {}).get("seconds")),
        ]
        for variant in compared["variants"]
    ]
    title = "mean test score over seeds"
    if len(tasks) <= WIDE:
        rows = [[head, *row] for head, row in zip(heads, cells, strict=True)]
        print_table(title, ["variant", *names], rows, numbers=range(1, len(names) + 1))
    else:
        rows = [[name.replace("\n", " "), *(row[index] for row in cells)] for index, name in enumerate(names)]
        print_table(title, ["task", *heads], rows, numbers=range(1, len(heads) + 1))
    gains = [
        [each["variant"], each["task"], _percent(each["gain"]), f"{_percent(each['low'])} to {_percent(each['high'])}"]
        for each in compared.get("gains") or []
    ]
    if gains:
        typer.echo("")
        print_table(
            "gain over single-task: error less by", ["variant", "task", "gain", "95 % interval"], gains, numbers=(2, 3)
        )
    typer.echo("")
    for variant, one in (compared.get("found") or {}).items():
        found = f"groups found before its trainings, in {one['seconds']:.1f} s: {listed_groups(one['groups'])}"
        typer.echo(f"{variant}: {found}")
    typer.echo(str(compared["verdict"]))
    if compared.get("advice"):
        typer.echo(str(compared["advice"]))


def _mean(values: Any) -> float | None:
    held = [value for value in values or [] if value is not None]
    return sum(held) / len(held) if held else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"
