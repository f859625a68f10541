"""What is to be made of a table: one set of arguments for every way of making it ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotrain.core.spec import Codec
from cotrain.data.earlier import Earlier
from cotrain.data.encode import PLAIN
from cotrain.data.feature_settings import TextSettings
from cotrain.data.settings import DataSettings


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Targets, inputs, and how both are read.

    targets: {task: unfitted codec}. inputs: columns, patterns (`*` for every column that is no target), `-name` to take one out.
    settings: kinds, split, weight and how columns are cleaned and encoded; its path and how to read are those of the table, its
    cache is not looked at. cache: a folder for the encoded rows; tables from memory are not cached.
    task_weights: {task: column of row weights for it alone}. Columns that split or weigh the rows are no inputs.
    source: whose rows these are. earlier: what an earlier run fitted; its columns and tasks are not fitted again.
    groups: {input column: its group} where each group of columns is to have fields of its own.
    texts: {column: what holds for it if it is a text}, in place of what the settings say: its encoder reads one form alone.
    """

    targets: Mapping[str, Codec]
    inputs: Sequence[str] = ("*",)
    settings: DataSettings = PLAIN
    task_weights: Mapping[str, str] | None = None
    seed: int = 0
    cache: Path | None = None
    source: str = "main"
    earlier: Earlier | None = None
    groups: Mapping[str, str] | None = None
    texts: Mapping[str, TextSettings] | None = None
