"""`cotrain methods`: what there is to choose from."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from cotrain.cli.messages import coloured, note, width


class Room(StrEnum):
    """What to list."""

    balance = "balance"
    sharing = "sharing"
    encoders = "encoders"
    numbers = "numbers"
    heads = "heads"
    tasks = "tasks"
    tuners = "tuners"
    pruners = "pruners"


def methods(
    room: Annotated[Room | None, typer.Argument(metavar=f"[{'|'.join(Room)}]", help="List these alone.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every setting, its type and its default.")
    ] = False,
) -> None:
    """List the methods a config can name."""
    import json

    from cotrain.recipe.catalogue import catalogue

    rooms = catalogue()
    chosen = {room.value: rooms[room.value]} if room else rooms
    if as_json:
        typer.echo(json.dumps(chosen, indent=2))
        return
    for name, entries in chosen.items():
        typer.echo(typer.style(name, bold=True) if coloured(sys.stdout) else name)
        for entry in entries:
            print_method(entry)
        typer.echo("")
    note("`cotrain methods --json` has types and defaults of all settings.")


def print_method(entry: Mapping[str, Any]) -> None:
    """One method on a few lines: what it is, what it costs, its settings, where it is from."""
    facts = [
        entry["summary"],
        "; ".join(filter(None, (entry["family"], entry["cost"]))),
        "settings: " + ", ".join(entry["settings"]) if entry["settings"] else "",
        entry["source"] or "",
    ]
    indent = " " * 22
    text = "\n".join(
        textwrap.fill(fact, width(), initial_indent=indent, subsequent_indent=indent + "  ") for fact in facts if fact
    )
    typer.echo(f"  {entry['name']:<19} " + text.lstrip())
