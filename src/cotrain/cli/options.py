"""What several commands ask for in the same words, and how one that was stopped is gone on with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A config, such as census.yaml.")]

Preset = Annotated[
    str | None,
    typer.Option(help="fast, good or best: fills in what the config does not say; its own if not given."),
]

TimeLimit = Annotated[
    str | None,
    typer.Option(help="How long each network may train at most, such as 90s, 2m or 1h; the config's own if not given."),
]


def again(command: str, config: Path, options: Mapping[str, object]) -> str:
    """The words that go on with a command. options: {"--folder": its value}; None and False were not given.

    >>> again("affinity", Path("census.yaml"), {"--check": True, "--groups": None, "--folder": Path("my runs")})
    "go on with: cotrain affinity census.yaml --check --folder 'my runs' --resume"
    """
    words = ["cotrain", command, str(config)]
    for name, value in {**options, "--resume": True}.items():
        if value is not None and value is not False:
            words += [name] if value is True else [name, str(value)]
    return f"go on with: {shlex.join(words)}"
