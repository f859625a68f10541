"""Everything that can be known before training: problems of config and data, warnings, and the plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cotrain.core.errors import ConfigError, DataError, RunError, TrainingError
from cotrain.core.randomness import untouched
from cotrain.data.sources import sources_of
from cotrain.model.fusion import Fusion
from cotrain.recipe.augmenting import build_augmentation
from cotrain.recipe.auto_groups import leaves_groups_open, one_group, with_groups
from cotrain.recipe.build import build_engine, build_model
from cotrain.recipe.config import Config
from cotrain.recipe.measured_affinity import joined
from cotrain.recipe.problems import ConfigProblems, Keys, Problem, dotted
from cotrain.recipe.rows import Rows, load_rows
from cotrain.training.cost import cost
from cotrain.training.optimise import NamedOptimizer
from cotrain.training.place import device_of
from cotrain.training.warm_start import warm_start_


@dataclass(frozen=True)
class Check:
    """problems: what makes training impossible. warnings: what looks wrong. plan: what would be trained, on which rows, at what cost."""

    problems: Sequence[Problem] = ()
    warnings: Sequence[str] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)


def check(config: Config) -> Check:
    """Read, clean, split and encode the data, build the network, and say what was found; nothing is trained and nothing kept."""
    try:
        rows = load_rows(config)
    except ConfigProblems as error:
        return Check(error.problems)
    except (ConfigError, DataError) as error:
        return Check([config.problem(("data",), str(error))])
    except RunError as error:
        return Check([config.problem(_culprit(config, str(error)), str(error))])
    try:
        device_of(config.train)
        with untouched():
            plan = _plan(config, rows)
    except ConfigProblems as error:
        return Check(error.problems, rows.report["warnings"])
    except (ConfigError, RunError, TrainingError) as error:
        keys = _culprit(config, str(error))
        return Check([config.problem(keys, str(error).removeprefix(f"{dotted(keys)}: "))], rows.report["warnings"])
    return Check((), rows.report["warnings"], plan)


def _culprit(config: Config, message: str) -> Keys:
    """The key of the config that a message of a network's part speaks of: `mmoe.split is 5 ...` is sharing.split."""
    written = tuple(message.partition(": ")[0].split("."))
    if written[0] in ("inputs", "fusion") and len(written) > 1:
        return written
    if message.startswith(("train.", "augment.", "affinity.")):
        return tuple(message.split(" ")[0].rstrip(":").split("."))
    chosen = {"encoder": config.encoder.name, "sharing": config.sharing.name, "balance": config.balance.name}
    for key, name in chosen.items():
        if message.startswith(f"{name}."):
            setting = message[len(name) + 1 :].split(" ")[0].rstrip(":,")
            return (key, setting) if (key, setting) in config.origin.values else (key,)
    return (next((key for key in ("sharing", "encoder", "balance") if key in message), "encoder"),)


def _inputs(config: Config) -> dict[str, str]:
    """Who reads which input, and how they are fused; nothing where one encoder reads all."""
    if not config.fused:
        return {}
    read = {name: "columns" if one.encoder is None else one.encoder.name for name, one in config.inputs.items()}
    fusion = config.fusion or Fusion()
    return {
        "inputs": ", ".join(f"{name} ({reader})" for name, reader in read.items()),
        "fusion": f"{fusion.name}, {fusion.width} wide",
    }


def _plan(config: Config, rows: Rows) -> dict[str, Any]:
    examples = [one.first("train", 64) for one in sources_of(rows.data)]
    open_groups = leaves_groups_open(config)
    closed = with_groups(config, one_group(config)) if open_groups else config
    if open_groups and len(config.tasks) > 1:
        joined(config)  # says where gradients cannot be compared
    model = build_model(closed, list(rows.tasks)).build(rows.specs, examples[0].inputs)
    settings = config.train
    begun = None if settings.warm_start is None else warm_start_(model, settings.warm_start)
    model.freeze(*settings.freeze, but=() if begun is None else begun.new)
    build_engine(model, config.balance, config.seed)
    build_augmentation(config, {name: spec for own in rows.specs.values() for name, spec in own.items()}, rows.tasks)
    NamedOptimizer(
        model, dataclasses.replace(config.train.optimizer, lr=1.0)
    )  # says which patterns of its groups match nothing
    structure, costs = model.structure(), cost(model, examples)
    report = rows.report
    train = max(one["splits"].get("train", 0) for one in report.get("sources", {"": report}).values())
    loops = {"layers that stay loops": structure["loops"]} if structure["loops"] else {}
    return {
        "columns": [
            {
                "column": one["name"],
                "role": one["role"],
                "kind": one["kind"],
                "why": "; ".join(part for part in (one["why"], one.get("note")) if part),
            }
            for one in report["columns"]
        ],
        "cleaning": [
            {"step": one["step"], "column": one["column"] or "whole table", "cells": one["count"], "how": one["detail"]}
            for one in report["cleaning"]
        ]
        or "nothing to clean",
        "tasks": [
            {
                "task": name,
                "kind": one["kind"],
                "column": one["columns"],
                "judged by": one["primary"],
                "outputs": one["outputs"],
            }
            for name, one in structure["tasks"].items()
        ],
        "rows": {"read": report["rows"], **report["splits"], "split": report["method"]},
        "network": {
            **_inputs(config),
            "encoder": config.encoder.name,
            "sharing": config.sharing.name + (", its groups found before the training" if open_groups else ""),
            "balance": config.balance.name,
            "parameters": structure["parameters"]["total"],
            "of these shared": structure["parameters"]["shared"],
            "FLOPs a row": costs["flops_per_row"],
            **loops,
        },
        "training": {
            "epochs at most": settings.epochs,
            "steps an epoch": -(-train // (settings.batch_size * settings.accumulate))
            if isinstance(settings.batch_size, int)
            else "at least 40 (batch_size: auto)",
            "batch": settings.batch_size,
            **({} if begun is None else {"begins with": begun.note}),
            **({"frozen": ", ".join(settings.freeze)} if settings.freeze else {}),
            "optimiser": f"{settings.optimizer.name}, lr {settings.optimizer.lr}",
        },
    }
