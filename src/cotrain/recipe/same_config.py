"""Whether a folder was begun with the config it is to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotrain.core.errors import RunError
from cotrain.core.state import plain
from cotrain.recipe.config import KEYS, Config, load_config

FREE = ("name", "preset", "train", "compare", "affinity", "tune")
"""Keys that may say something else when a run goes on: how long to train, and what is done beside it."""


def stored_config(folder: Path) -> dict[str, Any]:
    """The config a folder was begun with, as plain values."""
    return load_config(folder / "config.yaml", files=False).as_dict()


def same_config(config: Config, folder: Path) -> None:
    """Raises RunError if the folder was begun with another network, data or tasks (how long to train may change)."""
    if not (folder / "config.yaml").exists():
        raise RunError(
            f"folder '{folder}' holds no config.yaml, so there is nothing to resume; leave --resume out to begin"
        )
    before, now = stored_config(folder), config.as_dict()
    for key in (key for key in KEYS if key not in FREE):
        if plain(before.get(key)) != plain(now.get(key)):
            raise RunError(
                f"folder '{folder}' was begun with another '{key}': {before.get(key)} there, {now.get(key)} now; "
                "resume with the config it was started with, or begin a new run"
            )
