"""What a network is, as JSON: the part of structure.json that its model knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from cotrain.core.naming import slot
from cotrain.core.spec import Task
from cotrain.core.stacked import loops_in
from cotrain.model.counterparts import Sources
from cotrain.model.partition import Part


def structure_of(
    network: nn.Module,
    tasks: Mapping[str, Task],
    parts: Sequence[Part],
    heads: Mapping[str, nn.Module],
    sources: Mapping[str, str | None],
    scales: Mapping[str, float],
) -> dict[str, Any]:
    """Tasks, parameters, the shapes of each task's signals, which sources have which encoder, layers that stay loops, loss scales."""

    def size(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    return {
        "tasks": {name: described(task) for name, task in tasks.items()},
        "parameters": {
            "total": size(network),
            "shared": sum(size(part) for part in parts),
            "heads": {name: size(heads[slot(name)]) for name in tasks},
        },
        "stages": {
            name: [dataclasses.asdict(shape) for shape in part.shapes[name]] for part in parts for name in part.tasks
        },
        "sources": sources_in(parts, sources).to_json(),
        "loops": sorted(set(loops_in(network))),
        "scales": dict(scales),
    }


def sources_in(parts: Sequence[Part], read: Mapping[str, str | None]) -> Sources:
    """The sources a network was made for. read: {task: the source its rows are in, None for any}."""
    encoders = {source: one for part in parts for source, one in part.alias.items()}
    only = next(iter(encoders)) if len(encoders) == 1 else None
    return Sources(encoders, {task: named for task, source in read.items() if (named := source or only) is not None})


def described(task: Task) -> Mapping[str, Any]:
    """A task's entry in structure.json."""
    return {
        "kind": task.kind,
        "columns": list(task.codec.columns),
        "outputs": task.outputs,
        "weight": task.weight,
        "primary": task.metrics.primary,
    }
