"""A plan as a person reads it: nested mappings become short tables and lines on stdout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from cotrain.cli.tables import print_table

SHOWN = 60
"""So many rows of a table are printed; the rest is counted."""


def print_plan(plan: Mapping[str, Any]) -> None:
    """Every part of a plan: a list of mappings as a table, a mapping as lines, a value as one line."""
    for name, part in plan.items():
        if isinstance(part, list) and part and all(isinstance(each, Mapping) for each in part):
            columns = list(part[0])
            numbers = [
                index
                for index, key in enumerate(columns)
                if isinstance(part[0][key], int | float) and not isinstance(part[0][key], bool)
            ]
            rows = [[worded(each.get(key)) for key in columns] for each in part[:SHOWN]]
            print_table(name, columns, rows, numbers=numbers)
            if len(part) > SHOWN:
                typer.echo(f"... and {len(part) - SHOWN} more {name}")
        elif isinstance(part, Mapping):
            typer.echo(f"{name}")
            for key, value in part.items():
                typer.echo(f"  {key}: {worded(value)}")
        else:
            typer.echo(f"{name}: {worded(part)}")


def worded(value: Any) -> str:
    """A value in few signs.

    >>> worded(1234567), worded(None), worded(["a", "b"]), worded({"a": 1})
    ('1,234,567', '-', 'a, b', 'a 1')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {worded(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(worded(each) for each in value)
    return str(value)
