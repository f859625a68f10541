"""From a config to ready rows: read, cleaned, split, encoded, and tasks whose codecs are fitted on the training rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotrain.core.fields import MAIN
from cotrain.core.spec import InputSpec, Task
from cotrain.core.state import plain
from cotrain.data.drawn import RowData
from cotrain.data.earlier import Earlier
from cotrain.data.encode import TableEncoder
from cotrain.data.sources import SeveralData
from cotrain.recipe.begin import beginning
from cotrain.recipe.config import Config
from cotrain.recipe.one_source import load_source
from cotrain.recipe.several_sources import load_sources


@dataclass(frozen=True)
class Rows:
    """Ready rows: data split by split, the encoders of the inputs by source, tasks with fitted codecs, and the report (data.json).

    groups: {source: [N] the group of every row} where the split keeps groups together. learnt: {task: JSON of what it learnt on
    validation rows in the run this one begins with}.
    """

    data: RowData
    encoders: Mapping[str, TableEncoder]
    tasks: list[Task]
    report: dict[str, Any]
    groups: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    learnt: Mapping[str, Any] = field(default_factory=dict)

    @property
    def encoder(self) -> TableEncoder:
        """Of the only source, or of the first one."""
        return next(iter(self.encoders.values()))

    @property
    def specs(self) -> dict[str, InputSpec]:
        """What a network may know of the inputs of every source."""
        return {source: one.specs for source, one in self.encoders.items()}


def load_rows(config: Config, own: Mapping[str, Earlier] | None = None) -> Rows:
    """The rows a config names. own: {source: how the run that this config trained encodes them}, where it began with another one.

    Raises ConfigError for columns that are not there, with their lines; DataError for wrong cells; RunError where `train.warm_start`
    names no run.
    """
    begun = beginning(config) if own is None else None
    earlier = (own or {}) if begun is None else begun.earlier
    found = load_sources(config, earlier) if config.sources else {MAIN: load_source(config, earlier.get(MAIN))}
    data = {source: one.prepared.data for source, one in found.items()}
    tasks = {task.name: task for one in found.values() for task in one.tasks}
    reports = {source: one.prepared.report for source, one in found.items()}
    report = merged(reports) if config.sources else reports[MAIN]
    if begun is not None:
        report = {**report, "notes": [*report["notes"], *begun.notes]}
    return Rows(
        SeveralData(data) if len(data) > 1 else next(iter(data.values())),
        {source: one.prepared.encoder for source, one in found.items()},
        [tasks[name] for name in config.tasks],
        report,
        {source: one.groups for source, one in found.items() if one.groups is not None},
        {} if begun is None else begun.learnt,
    )


def read_alike(config: Config) -> str:
    """A word that is the same for configs whose rows are the same, encoded the same way, for tasks of the same settings."""
    whole = config.as_dict()
    reads = {key: whole.get(key) for key in ("data", "inputs", "tasks", "sources", "seed")}
    return json.dumps(plain({**reads, "encoder": config.encoder.name}), sort_keys=True, default=str)


def merged(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The reports of several sources as one, each column and sentence with its source; `sources` holds them as they are.

    >>> one = {"origin": "a.csv", "rows": 2, "columns": [], "cleaning": [], "splits": {"train": 2}, "method": "random", "labels": {},
    ...        "warnings": ["few"], "notes": []}
    >>> merged({"a": one, "b": one})["splits"], merged({"a": one, "b": one})["warnings"]
    ({'train': 4}, ["source 'a': few", "source 'b': few"])
    """
    splits: dict[str, int] = {}
    for one in reports.values():
        for split, rows in one["splits"].items():
            splits[split] = splits.get(split, 0) + rows

    def said(key: str) -> list[str]:
        return [f"source '{source}': {line}" for source, one in reports.items() for line in one[key]]

    methods = {source: one["method"] for source, one in reports.items()}
    return {
        "origin": "; ".join(f"{source}: {one['origin']}" for source, one in reports.items()),
        "rows": sum(one["rows"] for one in reports.values()),
        "columns": [
            {**column, "name": f"{source}: {column['name']}"}
            for source, one in reports.items()
            for column in one["columns"]
        ],
        "cleaning": [
            {**step, "column": f"{source}: {step['column'] or 'whole table'}"}
            for source, one in reports.items()
            for step in one["cleaning"]
        ],
        "splits": splits,
        "method": "; ".join(dict.fromkeys(methods.values()))
        if len(set(methods.values())) == 1
        else "; ".join(f"{source}: {method}" for source, method in methods.items()),
        "labels": {task: labels for one in reports.values() for task, labels in one["labels"].items()},
        "warnings": said("warnings"),
        "notes": said("notes"),
        "sources": {source: dict(one) for source, one in reports.items()},
    }
