"""One table of a config made ready: read, its columns assigned, prepared, and its tasks with fitted codecs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import MAIN
from cotrain.core.spec import Task
from cotrain.data.earlier import Earlier
from cotrain.data.feature_settings import TextSettings
from cotrain.data.large import too_large
from cotrain.data.pieces import LargeTable, large_table
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, Preparing, prepare, preparing
from cotrain.data.read import Table, found, read_table
from cotrain.data.split import group_codes
from cotrain.data.stream import prepare_stream
from cotrain.recipe.build import build_task, build_tasks
from cotrain.recipe.config import Config
from cotrain.recipe.inputs import assign, no_column
from cotrain.recipe.problems import ConfigProblems, Keys, Problem
from cotrain.recipe.texts import texts_of


@dataclass(frozen=True)
class Loaded:
    """One source, ready. groups: [N] the group of every row where the split keeps groups together, else None."""

    prepared: Prepared
    tasks: list[Task]
    groups: NDArray[np.int64] | None


@dataclass(frozen=True)
class Opened:
    """A table that was read (or is to be read piece by piece), with what the config says of it.

    groups: {column: its input}. texts: {column: what holds for it if it is a text}. fused: whether each input has fields of its own.
    """

    config: Config
    table: Table | LargeTable
    inputs: list[str]
    kinds: Mapping[str, str]
    groups: dict[str, str]
    texts: Mapping[str, TextSettings]
    fused: bool

    @property
    def columns(self) -> list[str]:
        """Of the table."""
        return columns_of(self.table)

    def asked(self, source: str, earlier: Earlier | None = None) -> Preparation:
        """What is to be made of the table."""
        config, settings = self.config, self.config.data
        return Preparation(
            targets={task.name: task.codec for task in build_tasks(config)},
            inputs=self.inputs,
            settings=dataclasses.replace(settings, kinds=self.kinds),
            task_weights=task_weights(config),
            seed=config.seed,
            cache=None if settings.cache is None or config.table is not None else Path(settings.cache),
            source=source,
            earlier=earlier,
            groups=self.groups if self.fused else None,
            texts=self.texts,
        )

    def prepared(self, earlier: Earlier | None = None, source: str = MAIN) -> Prepared:
        """The rows, encoded by what is fitted on them alone."""
        asked = self.asked(source, earlier)
        return prepare_stream(self.table, asked) if isinstance(self.table, LargeTable) else prepare(self.table, asked)

    def preparing(self, source: str, beside: str | None, earlier: Earlier | None = None) -> Preparing:
        """The same, stopping for an encoder that is fitted on other sources' rows too; beside: a word for these, None without a cache.

        Raises ConfigError for a table that is read piece by piece.
        """
        if isinstance(self.table, LargeTable):
            raise ConfigError(
                f"source '{source}' is read piece by piece (data.stream), and sources that share one encoder are read whole; set stream to "
                "false, or give this source `inputs` of its own"
            )
        asked = self.asked(source, earlier)
        asked = asked if beside is not None else dataclasses.replace(asked, cache=None)
        return preparing(self.table, asked, beside=beside or "")

    def digest(self) -> str | None:
        """A word that changes with the table and with what is said of it; None for rows from memory."""
        found = self.table.digest() if isinstance(self.table, Table) else self.table.fingerprint()
        return None if found is None else repr((found, self.inputs, self.config.data, sorted(self.config.tasks)))

    def loaded(self, prepared: Prepared) -> Loaded:
        """With the tasks, and groups of rows. Raises ConfigProblems or DataError for labels that settings name and the rows do not have."""
        try:
            tasks = [build_task(target, prepared.codecs[name]) for name, target in self.config.tasks.items()]
        except DataError as error:
            raise placed(self.config, error) from error
        split = self.config.data.split
        whole = split.method == "group" and split.by is not None and isinstance(self.table, Table)
        groups = group_codes(self.table.frame[split.by]) if whole else None  # type: ignore[union-attr, index]
        return Loaded(prepared, tasks, groups)


def opened(config: Config, table: Table | LargeTable | None = None) -> Opened:
    """The table of a config, read unless it is given. Raises ConfigProblems for columns that are not there, with their lines."""
    table = large_rows(config) or read_rows(config) if table is None else table
    assigned, kinds, problems = input_columns(config, columns_of(table))
    if problems:
        raise ConfigProblems(config.origin.ordered(problems), config.origin.file or "the config")
    inputs = [column for chosen in assigned.values() for column in chosen]
    groups = {column: name for name, chosen in assigned.items() for column in chosen}
    return Opened(config, table, inputs, kinds, groups, texts_of(config, assigned), config.fused)


def columns_of(table: Table | LargeTable) -> list[str]:
    """The names of a table's columns."""
    return list(table.columns if isinstance(table, LargeTable) else table.frame.columns)


def load_source(config: Config, earlier: Earlier | None = None) -> Loaded:
    """The rows of a config with one table. Raises as `load_rows`."""
    ours = opened(config)
    try:
        prepared = ours.prepared(earlier)
    except (ConfigError, DataError) as error:
        raise placed(config, error) from error
    return ours.loaded(prepared)


def task_weights(config: Config) -> dict[str, str]:
    """{task: column of its own row weights}, for tasks that have one."""
    return {name: one.weight_column for name, one in config.tasks.items() if one.weight_column is not None}


def large_rows(config: Config) -> LargeTable | None:
    """The config's files, to be read piece by piece; None where they are to be read whole.

    Raises ConfigError if rows handed in from memory are to be streamed, DataError for files that cannot be.
    """
    settings = config.data
    if settings.stream is False or (config.table is not None and settings.stream == "auto"):
        return None
    if config.table is not None:
        raise ConfigError(
            "data.stream: rows that are in memory already cannot be read piece by piece; give the path of a file, or leave it out"
        )
    given: dict[str, Any] = {"train": settings.path if isinstance(settings.path, str) else list(settings.path)}
    if settings.split.method == "files":
        for name in ("valid", "test"):
            one = getattr(settings.split, name)
            given |= {} if one is None else {name: one if isinstance(one, str) else list(one)}
    if settings.stream == "auto":
        try:
            large = too_large([path for one in given.values() for path in found(one)], settings.reading)
        except DataError:  # whoever reads them says what is wrong
            large = False
        if not large:
            return None
    return large_table(given if len(given) > 1 else given["train"], settings.reading)


def read_rows(config: Config) -> Table:
    """The config's table, not yet cleaned."""
    return read_table(config.table if config.table is not None else config.data.path, config.data.reading)


def input_columns(config: Config, columns: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, str], list[Problem]]:
    """({input: its columns}, {column: kind} where one is told, what is wrong), targets and columns with another purpose left out."""
    settings = config.data
    predicted = {column: name for name, target in config.tasks.items() for column in target.columns}
    weights = task_weights(config)
    other = [column for column in (settings.split.by, settings.weight, *weights.values()) if column is not None]
    problems: list[Problem] = []
    for name, target in config.tasks.items():
        for column in target.columns:
            if column not in columns:
                problems.append(config.problem(("tasks", name), no_column(column, columns)))
    named: list[tuple[Keys, str | None]] = [
        (("data", "split", "by"), settings.split.by),
        (("data", "weight"), settings.weight),
    ]
    named += [(("tasks", name, "weight_column"), column) for name, column in weights.items()]
    named += [(("data", key, column), column) for key in ("kinds", "per_column") for column in getattr(settings, key)]
    for keys, wanted in named:
        if wanted is not None and wanted not in columns:
            problems.append(config.problem(keys, no_column(wanted, columns)))
    assigned, found = assign(config.inputs, columns, predicted, other)
    problems += [config.problem(_spot(config, keys), message) for keys, message in found]
    kinds = dict(settings.kinds)
    for name, chosen in assigned.items():
        kind = config.inputs[name].kind
        kinds |= {column: kind for column in chosen if kind is not None and column not in kinds}
    return assigned, kinds, problems


def _spot(config: Config, keys: Keys) -> Keys:
    """Where an input's columns were written: in a list, under a name, or under `columns`."""
    written = config.origin.values
    name, *rest = keys
    index = rest[-1:] if rest else []
    for spot in (("inputs", *keys), ("inputs", name, *index), ("inputs", *index), ("inputs", name)):
        if spot in written:
            return spot
    return ("inputs",)


def placed(config: Config, error: ConfigError | DataError) -> ConfigProblems | DataError:
    """The error with the line of the task it names, if it names one and the config has lines; else as it is."""
    if config.origin.file is None:
        return error if isinstance(error, DataError) else ConfigProblems([Problem("", str(error))])
    problems = [config.problem(_culprit(config, line), line) for line in str(error).splitlines() if line.strip()]
    return ConfigProblems(config.origin.ordered(problems), config.origin.file)


def _culprit(config: Config, message: str) -> Keys:
    """The key of the config that a message about the data speaks of."""
    key, _, rest = message.partition(":")
    if rest and key.startswith("data.") and tuple(key.split(".")) in config.origin.values:
        return tuple(key.split("."))
    for name, target in config.tasks.items():
        if f"task '{name}'" in message or any(f"column '{column}'" in message for column in target.columns):
            return ("tasks", name)
    return ("data", "path") if ("data", "path") in config.origin.values else ("data",)
