"""From a config to ready rows: read, cleaned, split, encoded, and tasks whose codecs are fitted on the training rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.spec import FieldSpec, Task
from cotrain.data.drawn import RowData
from cotrain.data.earlier import Earlier
from cotrain.data.encode import TableEncoder
from cotrain.data.large import too_large
from cotrain.data.pieces import LargeTable, large_table
from cotrain.data.prepare import prepare
from cotrain.data.read import Table, found, read_table
from cotrain.data.split import group_codes
from cotrain.data.stream import prepare_stream
from cotrain.recipe.begin import beginning
from cotrain.recipe.build import build_task, build_tasks
from cotrain.recipe.config import Config
from cotrain.recipe.inputs import assign, no_column
from cotrain.recipe.problems import ConfigProblems, Keys, Problem
from cotrain.recipe.texts import texts_of


@dataclass(frozen=True)
class Rows:
    """Ready rows: data split by split, the encoder of the inputs, tasks with fitted codecs, and the report (data.json).

    groups: [N] the group of every row where the split keeps groups together, else None. learnt: {task: JSON of what it learnt on
    validation rows in the run this one begins with}.
    """

    data: RowData
    encoder: TableEncoder
    tasks: list[Task]
    report: dict[str, Any]
    groups: NDArray[np.int64] | None = None
    learnt: Mapping[str, Any] = field(default_factory=dict)

    @property
    def specs(self) -> Mapping[str, FieldSpec]:
        """What a network may know of the inputs."""
        return self.encoder.specs


def load_rows(config: Config, own: Earlier | None = None) -> Rows:
    """The rows a config names. own: how the run that this config trained encodes them, where it began with another one.

    Raises ConfigError for columns that are not there, with their lines; DataError for wrong cells; RunError where `train.warm_start`
    names no run.
    """
    begun = beginning(config) if own is None else None
    earlier = own if begun is None else begun.earlier
    settings = config.data
    table = large_rows(config) or read_rows(config)
    columns = table.columns if isinstance(table, LargeTable) else table.frame.columns
    assigned, kinds, problems = input_columns(config, columns)
    if problems:
        raise ConfigProblems(config.origin.ordered(problems), config.origin.file or "the config")
    inputs = [column for chosen in assigned.values() for column in chosen]
    groups = {column: name for name, chosen in assigned.items() for column in chosen} if config.fused else None
    try:
        targets = {task.name: task.codec for task in build_tasks(config)}
        how = dataclasses.replace(settings, kinds=kinds)
        texts = texts_of(config, assigned)
        cache = None if settings.cache is None or config.table is not None else Path(settings.cache)
        if isinstance(table, LargeTable):
            prepared = prepare_stream(
                table,
                targets=targets,
                inputs=inputs,
                settings=how,
                task_weights=task_weights(config),
                seed=config.seed,
                cache=cache,
                earlier=earlier,
                groups=groups,
                texts=texts,
            )
        else:
            prepared = prepare(
                table,
                targets=targets,
                inputs=inputs,
                settings=how,
                task_weights=task_weights(config),
                seed=config.seed,
                cache=cache,
                earlier=earlier,
                groups=groups,
                texts=texts,
            )
    except (ConfigError, DataError) as error:
        raise placed(config, error) from error
    try:
        tasks = [build_task(config.tasks[name], prepared.codecs[name]) for name in config.tasks]
    except DataError as error:  # labels that settings name and the rows do not have
        raise placed(config, error) from error
    by = settings.split.by if settings.split.method == "group" else None
    kept = None if by is None or isinstance(table, LargeTable) else group_codes(table.frame[by])
    report = (
        prepared.report if begun is None else {**prepared.report, "notes": [*prepared.report["notes"], *begun.notes]}
    )
    return Rows(prepared.data, prepared.encoder, tasks, report, kept, {} if begun is None else begun.learnt)


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
    assigned, found = assign(config.inputs, columns, [*predicted, *other])
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
