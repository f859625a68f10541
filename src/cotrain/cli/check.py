"""`cotrain check`: problems before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A config, such as census.yaml.")]) -> None:
    """Find all problems of a config and its data, at once.

    Then print the plan: what each column is taken for, rows of each split, parameters, FLOPs.
    """
    from cotrain.cli.messages import warn
    from cotrain.cli.plan import print_plan
    from cotrain.recipe.config import load_config

    settings = load_config(config)

    from cotrain.recipe.check import check as check_config
    from cotrain.recipe.problems import ConfigProblems

    found = check_config(settings)
    for text in found.warnings:
        warn(str(text))
    if found.problems:
        raise ConfigProblems(found.problems, str(config))
    print_plan(found.plan)
