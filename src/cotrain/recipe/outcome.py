"""What a comparison found: compare.json, from the trainings of every variant and seed.

Scores, gains over single-task with their intervals, the verdict; nothing is trained here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotrain.core.spec import Task
from cotrain.core.state import plain
from cotrain.recipe.advice import advice
from cotrain.recipe.build import with_learnt
from cotrain.recipe.config import Config
from cotrain.recipe.network import samples, standing
from cotrain.recipe.parts import Part, Parts
from cotrain.recipe.rows import Rows
from cotrain.tasks.reweighted import errors_under
from cotrain.tasks.scores import Array, error_of
from cotrain.training.baseline import Baseline, constants
from cotrain.training.boosting import FORMS
from cotrain.training.evaluate import scores
from cotrain.training.gain import SEEDS_FOR_A_VERDICT, Gain, delta_m, gain, row_weights, verdict

SINGLE, BOOSTING, CONSTANT = "single-task", "boosting", "constant"
"""What variants are called in the table, beside the joint ones."""

FEWER = 0.8
"""A single-task network that makes less than this share of the joint one's steps is spoken of."""

ROWS_A_STEP = 256
"""Rows of a step where the config leaves them open: a share of steps is much the same for any number."""


def joint_name(config: Config) -> str:
    """What the config's own variant is called: by its sharing, and by its balancer where that is not the plain sum."""
    balance = "" if config.balance.name == "sum" else f", {config.balance.name}"
    return f"joint ({config.sharing.name}{balance})"


def time_given(config: Config, tasks: int) -> str:
    """How long each network of a comparison may be trained, in one sentence."""
    limit = config.train.limit or 0.0
    if config.compare.single_time == "shared":
        return f"the joint network may take {limit:g} s, the {tasks} single-task networks {limit / tasks:g} s each, as long in all"
    return f"every network may take {limit:g} s, the {tasks} single-task networks each"


def outcome(config: Config, rows: Rows, parts: Parts, names: Sequence[str]) -> dict[str, Any]:
    """compare.json: scores of every variant and seed, gains with their intervals, verdict."""
    tasks = {task.name: task for task in rows.tasks}
    seeds = list(config.compare.seeds)
    names = [name for name in names if parts.complete(name, seeds)]
    judged = {name: Judged(tasks, [parts.get(name, seed) for seed in seeds]) for name in names}
    base = constants(tasks, [samples(rows.data, "train")]) if rows.data.counts.get("train") else Baseline()
    fixed = _constant_scores(base, tasks, judged)
    gains = _gains(judged, tasks, rows) if SINGLE in judged else {}
    joint = joint_name(config)
    document = {
        "format": 1,
        "seeds": seeds,
        "tasks": {
            name: {
                "kind": task.kind,
                "primary": task.metrics.primary,
                "higher_is_better": task.metrics.higher_is_better(task.metrics.primary),
            }
            for name, task in tasks.items()
        },
        "variants": [
            {
                "name": name,
                "kind": _kind(name),
                "scores": one.primary,
                "all_scores": one.scores,
                "cost": parts.cost(name, seeds),
            }
            for name, one in judged.items()
        ]
        + [
            {
                "name": CONSTANT,
                "kind": "constant",
                "scores": {name: [value] for name, value in fixed.items()},
                "cost": None,
            }
        ],
        "gains": [
            {
                "variant": variant,
                "task": task,
                "gain": one.value,
                "low": one.low,
                "high": one.high,
                "per_seed": list(one.per_seed),
            }
            for variant, by_task in gains.items()
            for task, one in by_task.items()
        ],
        "delta_m": {name: _delta_m(judged[name], judged[SINGLE], tasks) for name in gains},
        "harmed": {name: [task for task, one in by_task.items() if one.harmed] for name, by_task in gains.items()},
        "worst": {name: _worst(by_task) for name, by_task in gains.items()},
        "left_out": {**parts.left_out, **without_trees(judged, tasks)},
        "time": time_given(config, len(tasks)) if config.train.limit is not None else None,
        "conflict": parts.get(joint, seeds[0]).conflict if joint in judged else None,
        "verdict": "",
        "advice": None,
    }
    if joint in gains:
        beaten = [task for task in gains[joint] if _beaten(tasks[task], fixed, [judged[joint], judged[SINGLE]])]
        document["verdict"] = verdict(joint, gains[joint], len(seeds), beaten) + caution(config, rows, gains[joint])
        if len(seeds) >= SEEDS_FOR_A_VERDICT:
            document["advice"] = advice(config, [task for task, one in gains[joint].items() if one.harmed])
    else:
        document["verdict"] = "There is nothing to compare with: single-task networks were left out."
    found: dict[str, Any] = plain(document)
    return found


def steps_alone(config: Config, rows: Rows) -> dict[str, float]:
    """{task: steps of an epoch of its single-task network over those of the joint one}."""
    size = config.train.batch_size if isinstance(config.train.batch_size, int) else ROWS_A_STEP
    joint = rows.data.steps("train", size)
    return {task.name: standing(rows.data, [task])[0].steps("train", size) / joint for task in rows.tasks}


def caution(config: Config, rows: Rows, gains: Mapping[str, Gain]) -> str:
    """A sentence on tasks that gained and whose single-task networks made fewer steps: an epoch has only the rows with their labels."""
    if config.compare.single_steps == "joint":
        return ""
    shares = steps_alone(config, rows)
    fewer = {task: share for task, share in shares.items() if share < FEWER and task in gains and gains[task].value > 0}
    if not fewer:
        return ""
    told = ", ".join(f"{task} {share:.2g}" for task, share in fewer.items())
    tell = "compare: {single_steps: joint} lets them make as many"
    return (
        f" Single-task networks of tasks with fewer labels make fewer steps in as many epochs ({told} of the joint network's), so part of such a "
        f"gain may be longer training: {'nothing is shared here' if config.sharing.name == 'none' else tell}."
    )


def without_trees(judged: Mapping[str, Judged], tasks: Mapping[str, Task]) -> dict[str, str]:
    """{"boosting of a task": why it has no score}, for tasks whose kind boosted trees have no form for."""
    if BOOSTING not in judged:
        return {}
    absent = [task for name, task in tasks.items() if name not in judged[BOOSTING].primary and task.kind not in FORMS]
    return {
        f"{BOOSTING} of {task.name}": f"boosted trees have no form for tasks of kind '{task.kind}'" for task in absent
    }


class Judged:
    """The scores of one variant over all seeds. scores {task: [{metric: value} per seed]}, primary {task: [value per seed]}."""

    def __init__(self, tasks: Mapping[str, Task], parts: Sequence[Part]) -> None:
        self.parts = parts
        self.tasks = [
            {name: with_learnt(task, part.learnt.get(name)) for name, task in tasks.items()} for part in parts
        ]
        per_seed = [scores(own, part.outputs) for own, part in zip(self.tasks, parts, strict=True)]
        self.scores = {name: [one[name] for one in per_seed] for name in tasks if all(name in one for one in per_seed)}
        self.primary = {
            name: [one[tasks[name].metrics.primary] for one in found] for name, found in self.scores.items()
        }

    def errors(self, task: Task) -> list[float]:
        """Primary error, one a seed."""
        return [error_of(task.metrics.primary, value) for value in self.primary[task.name]]

    def resampled(self, task: Task, counts: Array) -> list[Array]:
        """Primary error under every resampling of the test rows, one array a seed."""
        pairs = [(own[task.name], part.outputs[task.name]) for own, part in zip(self.tasks, self.parts, strict=True)]
        return [errors_under(own, one.output, one.target, one.weight, counts) for own, one in pairs]


def _gains(judged: Mapping[str, Judged], tasks: Mapping[str, Task], ready: Rows) -> dict[str, dict[str, Gain]]:
    """{variant: {task: gain over single-task}}; all variants and seeds meet the same resampled rows."""
    single = judged[SINGLE]
    gains: dict[str, dict[str, Gain]] = {name: {} for name in judged if name != SINGLE}
    for task in tasks.values():
        if task.name not in single.primary or any(math.isnan(value) for value in single.primary[task.name]):
            continue
        rows = len(single.parts[0].outputs[task.name].target)
        counts = row_weights(rows, np.random.default_rng(0), groups=groups(ready, task.name))
        alone, alone_rows = single.errors(task), single.resampled(task, counts)
        for name in gains:
            if task.name in judged[name].primary:
                shared_rows = judged[name].resampled(task, counts)
                gains[name][task.name] = gain(judged[name].errors(task), alone, shared_rows, alone_rows)
    return {name: by_task for name, by_task in gains.items() if by_task}


def groups(rows: Rows, task: str) -> NDArray[np.int64] | None:
    """The group of each of a task's labelled test rows, where the split keeps groups together."""
    data = rows.data.for_tasks([task])
    if data.source not in rows.groups:
        return None
    test = data.whole("test")
    labelled = test.select(test.targets[task].present).row
    return None if labelled is None else np.asarray(rows.groups[data.source][labelled.numpy()])


def _constant_scores(base: Baseline, tasks: Mapping[str, Task], judged: Mapping[str, Judged]) -> dict[str, float]:
    """{task: primary metric of the best constant prediction on the test rows}."""
    if not judged:
        return {}
    outputs = next(iter(judged.values())).parts[0].outputs
    found = base.scores(tasks, outputs)
    return {name: one[tasks[name].metrics.primary] for name, one in found.items()}


def _beaten(task: Task, fixed: Mapping[str, float], networks: Sequence[Judged]) -> bool:
    """Whether the constant is at least as good, on average over seeds, as every network."""
    if task.name not in fixed or math.isnan(fixed[task.name]):
        return False
    metric = task.metrics.primary
    errors = [float(np.mean([error_of(metric, value) for value in one.primary[task.name]])) for one in networks]
    return all(error >= error_of(metric, fixed[task.name]) for error in errors)


def _delta_m(joint: Judged, single: Judged, tasks: Mapping[str, Task]) -> dict[str, float]:
    """Mean over seeds of delta_m (per cent, higher is better), with the spread over seeds."""
    common = [name for name in joint.primary if name in single.primary]
    higher = {name: tasks[name].metrics.higher_is_better(tasks[name].metrics.primary) for name in common}
    values = [
        delta_m(
            {name: joint.primary[name][index] for name in common},
            {name: single.primary[name][index] for name in common},
            higher,
        )
        for index in range(len(joint.parts))
    ]
    return {"value": float(np.mean(values)), "low": float(np.min(values)), "high": float(np.max(values))}


def _worst(gains: Mapping[str, Gain]) -> str | None:
    """The task with the least gain among those that have one."""
    told = {task: one.value for task, one in gains.items() if not math.isnan(one.value)}
    return min(told, key=lambda task: told[task]) if told else None


def _kind(name: str) -> str:
    return {SINGLE: "single", BOOSTING: "boosting"}.get(name, "joint")
