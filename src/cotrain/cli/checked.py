"""A config that was checked with its data: its warnings said, its problems raised, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotrain.recipe.config import Config


def checked(path: Path, preset: str | None = None) -> tuple[Config, Mapping[str, Any]]:
    """(config, plan) of a file. Raises ConfigProblems with everything that is wrong in config, data and network.

    preset: in place of the config's own.
    """
    from cotrain.recipe.config import load_config

    config = load_config(path, preset=preset)
    return config, checked_with_data(config, path)


def checked_with_data(config: Config, path: Path) -> Mapping[str, Any]:
    """The plan of a config that was read from a file. Raises ConfigProblems with everything that is wrong in data and network."""
    from cotrain.cli.messages import warn
    from cotrain.recipe.check import check
    from cotrain.recipe.problems import ConfigProblems

    found = check(config)
    for text in found.warnings:
        warn(str(text))
    if found.problems:
        raise ConfigProblems(found.problems, str(path))
    return found.plan
