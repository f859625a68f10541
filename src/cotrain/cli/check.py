"""`cotrain check`: problems before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A config, such as census.yaml.")],
    preset: Annotated[
        str | None,
        typer.Option(help="fast, good or best: fills in what the config does not say; its own if not given."),
    ] = None,
) -> None:
    """Find all problems of a config and its data, at once.

    Then print the plan: what each column is taken for, rows of each split, parameters, FLOPs.
    """
    from cotrain.cli.checked import checked
    from cotrain.cli.plan import print_plan

    _, plan = checked(config, preset)
    print_plan(plan)
