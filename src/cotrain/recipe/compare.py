"""Did sharing help? Single-task networks, joint ones and boosted trees side by side, over several seeds.

Every network has the same trunk, rows, budget and stopping; single-task networks differ in having one head. Variants are paired by
seed and by test row. The test rows are scored once a training, and nothing is chosen by them.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotrain.core.errors import DataError, RunError, UnsupportedError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import Task
from cotrain.core.state import plain, write_json
from cotrain.recipe.balance_settings import Balance
from cotrain.recipe.build import learnt_by, with_learnt
from cotrain.recipe.config import Config, load_config
from cotrain.recipe.folder import new_folder, newest_folder, write_text
from cotrain.recipe.network import train_network, whole
from cotrain.recipe.parts import Part, Parts
from cotrain.recipe.reader import Choice
from cotrain.recipe.rows import Rows, load_rows
from cotrain.recipe.run import same_config, stored
from cotrain.tasks.reweighted import errors_under
from cotrain.tasks.scores import Array, error_of
from cotrain.training.baseline import Baseline, constants
from cotrain.training.boosting import boosted_output
from cotrain.training.evaluate import Gathered, gather, scores
from cotrain.training.gain import Gain, delta_m, gain, row_weights, verdict
from cotrain.training.settle import settled

SINGLE, BOOSTING, CONSTANT = "single-task", "boosting", "constant"
Say = Callable[[str], None]


def compare(
    config: Config, *, folder: Path | str | None = None, progress: Say | None = None, resume: bool = False
) -> Path:
    """Train and score every variant over the config's seeds; the folder that holds compare.json.

    The folder is a run folder too: it holds the config's own network, trained with the first seed, ready for `cotrain predict`.
    folder: the one to make, or runs/<name>-compare. resume: go on in that folder; what was trained there is not trained again.
    Raises ConfigError or DataError for mistakes, RunError if the folder is in use, or was begun with other settings.
    """
    say = progress or (lambda text: None)
    rows = load_rows(config)
    if "test" not in rows.data.counts:
        raise DataError(
            f"a comparison is made on test rows, but there are none (splits: {', '.join(rows.data.counts)}); "
            "give data.split a share or rows for test"
        )
    if rows.data.streamed and config.data.split.method == "group":
        raise DataError(
            "where a split keeps groups together, intervals draw whole groups, which are not kept for rows that are read piece by piece; "
            "compare on fewer rows (data.stream: false), or split by a column"
        )
    name = f"{config.name}-compare"
    path = newest_folder(name, folder) if resume else new_folder(name, folder)
    if resume:
        same_config(config, path)
        same_trainings(config, path)
    write_text(path / "config.yaml", config.to_yaml())
    write_json(path / "data.json", rows.report)
    if config.train.limit is not None and config.compare.single:
        say(f"  {time_given(config, len(rows.tasks))}")
    parts = Parts(path / "parts", rows)
    variants = _variants(config, path)
    for seed in config.compare.seeds:
        for name, train in variants.items():
            if parts.has(name, seed):
                continue
            say(f"seed {seed}: {name}")
            found = train(rows, seed)
            if isinstance(found, str):
                say(f"  left out: {found}")
                parts.leave_out(name, found)
            else:
                parts.add(name, seed, found)
    document = outcome(config, rows, parts, list(variants))
    write_json(path / "compare.json", document)
    return path


def same_trainings(config: Config, folder: Path) -> None:
    """Raises RunError if variants were begun there with other settings: half of one and half of the other is no comparison.

    Seeds and variants may be added.
    """
    before, now = (plain(one.as_dict()) for one in (load_config(folder / "config.yaml", files=False), config))
    known = before["compare"]["variants"]
    changed = [
        f"compare.variants.{name}" for name, one in now["compare"]["variants"].items() if known.get(name, one) != one
    ]
    changed += ["train"] if before["train"] != now["train"] else []
    if changed:
        which = " and ".join(f"'{key}'" for key in changed)
        raise RunError(
            f"folder '{folder}' was begun with another {which}, and its trainings cannot stand "
            "beside new ones; put the old settings back, or begin a new comparison"
        )


def time_given(config: Config, tasks: int) -> str:
    """How long each network of a comparison may be trained, in one sentence."""
    limit = config.train.limit or 0.0
    if config.compare.single_time == "shared":
        return f"the joint network may take {limit:g} s, the {tasks} single-task networks {limit / tasks:g} s each, as long in all"
    return f"every network may take {limit:g} s, the {tasks} single-task networks each"


Train = Callable[[Rows, int], Part | str]


def _variants(config: Config, folder: Path) -> dict[str, Train]:
    """{name: how to train it for one seed}, in the order of the table."""
    variants: dict[str, Train] = {}
    if config.compare.single:
        variants[SINGLE] = lambda rows, seed: _single(config, rows, seed)
    first = config.compare.seeds[0]
    variants[_joint_name(config)] = lambda rows, seed: _joint(config, rows, seed, folder if seed == first else None)
    for name in config.compare.variants:
        varied = config.variant(name)
        variants[name] = lambda rows, seed, varied=varied: _joint(varied, rows, seed)  # type: ignore[misc]
    if config.compare.boosting:
        variants[BOOSTING] = _boosting
    return variants


def _joint_name(config: Config) -> str:
    balance = "" if config.balance.name == "sum" else f", {config.balance.name}"
    return f"joint ({config.sharing.name}{balance})"


def _joint(config: Config, rows: Rows, seed: int, folder: Path | None = None) -> Part:
    """A joint network; with a folder it is stored there as a run (and goes on from the checkpoint of an interrupted one)."""
    done = train_network(config, rows.data, rows.specs, rows.tasks, seed=seed, folder=folder, resume=folder is not None)
    if folder is not None:
        stored(config, rows, done, folder)
    return Part(
        gather_test(done.model, rows), _costs([done.cost]), _conflict(done.history.records), learnt_by(done.model.tasks)
    )


def _single(config: Config, rows: Rows, seed: int) -> Part:
    """One network a task. Each watches its own gain where the joint one watches a task's, or that of all."""
    own = config.train if config.train.monitor == "loss" else dataclasses.replace(config.train, monitor="gain")
    if own.limit is not None and config.compare.single_time == "shared":
        own = dataclasses.replace(own, time_limit=own.limit / len(rows.tasks))
    alone = dataclasses.replace(config, sharing=Choice("hard"), balance=Balance("sum"), train=own)
    found: dict[str, Gathered] = {}
    costs: list[Mapping[str, float | None]] = []
    learnt: dict[str, Any] = {}
    for task in rows.tasks:
        done = train_network(alone, rows.data, rows.specs, [task], seed=seed)
        found |= gather_test(done.model, rows)
        learnt |= learnt_by(done.model.tasks)
        costs.append(done.cost)
    return Part(found, _costs(costs), None, learnt)


def _boosting(rows: Rows, seed: int) -> Part | str:
    if rows.data.streamed:
        return "boosted trees need all rows in memory, and these are read piece by piece (data.stream)"
    found: dict[str, Gathered] = {}
    tasks: dict[str, Task] = {}
    began = time.monotonic()
    for task in rows.tasks:
        data = rows.data.for_tasks([task.name])
        train, valid, test = (whole(data, split) for split in ("train", "valid", "test"))
        if train is None or test is None:
            continue
        try:
            output = boosted_output(task, train, valid, test if valid is None else both(valid, test), rows.specs, seed)
        except UnsupportedError as error:
            return str(error)
        before = 0 if valid is None else len(valid)
        seen = None if valid is None else Gathered(output[:before], valid.targets[task.name], valid.weight)
        tasks[task.name], _ = settled(task, seen)
        found[task.name] = Gathered(output[before:], test.targets[task.name], test.weight)
    return Part(found, {"seconds": time.monotonic() - began}, None, learnt_by(tasks))


def both(first: Batch, second: Batch) -> Batch:
    """The inputs of two batches, one below the other."""
    return Batch({name: Field.cat([one, second.inputs[name]]) for name, one in first.inputs.items()})


def gather_test(model: Any, rows: Rows) -> dict[str, Gathered]:
    """{task: outputs on its labelled test rows}, so that every variant is scored on the same rows."""
    found: dict[str, Gathered] = {}
    for name in model.tasks:
        data = rows.data.for_tasks([name])
        if data.counts.get("test"):
            found |= {name: gather(model, lambda epoch, data=data: data.batches("test", 4096))[name]}  # type: ignore[misc]
    return found


def _costs(costs: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Of several networks together: what adds up is added, the peak memory is the largest."""

    def total(key: str) -> float | None:
        values = [cost[key] for cost in costs]
        return (
            None
            if any(value is None for value in values)
            else float(sum(value for value in values if value is not None))
        )

    peaks = [cost["peak_memory_mib"] for cost in costs if cost["peak_memory_mib"] is not None]
    return {
        "parameters": total("parameters"),
        "flops_per_row": total("flops_per_row"),
        "seconds": total("train_seconds"),
        "peak_memory_mib": max(peaks, default=None),
    }


def _conflict(records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Mean gradient cosine of every pair, and the largest ratio of gradient norms, over the epochs that measured them."""
    cosines = [record["cosines"] for record in records if record.get("cosines")]
    norms = [record["norms"] for record in records if record.get("norms")]
    if not cosines:
        return None
    ratios = [max(one.values()) / max(min(one.values()), 1e-300) for one in norms if one]
    return {
        "cosine": {pair: float(np.mean([one[pair] for one in cosines if pair in one])) for pair in cosines[0]},
        "norm_ratio": float(np.mean(ratios)) if ratios else None,
    }


# ------------------------------------------------------------------------------------------------------------- the outcome


def outcome(config: Config, rows: Rows, parts: Parts, names: Sequence[str]) -> dict[str, Any]:
    """compare.json: scores of every variant and seed, gains with their intervals, verdict."""
    tasks = {task.name: task for task in rows.tasks}
    seeds = list(config.compare.seeds)
    names = [name for name in names if parts.complete(name, seeds)]
    judged = {name: Judged(tasks, [parts.get(name, seed) for seed in seeds]) for name in names}
    base = constants(tasks, [[rows.data.sample("train")]]) if rows.data.counts.get("train") else Baseline()
    fixed = _constant_scores(base, tasks, judged)
    gains = _gains(judged, tasks, rows) if SINGLE in judged else {}
    joint = _joint_name(config)
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
        "left_out": parts.left_out,
        "time": time_given(config, len(tasks)) if config.train.limit is not None else None,
        "conflict": parts.get(joint, seeds[0]).conflict if joint in judged else None,
        "verdict": "",
    }
    if joint in gains:
        beaten = [task for task in gains[joint] if _beaten(tasks[task], fixed, [judged[joint], judged[SINGLE]])]
        document["verdict"] = verdict(joint, gains[joint], len(seeds), beaten)
    else:
        document["verdict"] = "There is nothing to compare with: single-task networks were left out."
    found: dict[str, Any] = plain(document)
    return found


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
        counts = row_weights(rows, np.random.default_rng(0), groups=_groups(ready, task.name))
        alone, alone_rows = single.errors(task), single.resampled(task, counts)
        for name in gains:
            if task.name in judged[name].primary:
                shared_rows = judged[name].resampled(task, counts)
                gains[name][task.name] = gain(judged[name].errors(task), alone, shared_rows, alone_rows)
    return {name: by_task for name, by_task in gains.items() if by_task}


def _groups(rows: Rows, task: str) -> NDArray[np.int64] | None:
    """The group of each of a task's labelled test rows, where the split keeps groups together."""
    if rows.groups is None:
        return None
    test = rows.data.for_tasks([task]).whole("test")
    labelled = test.select(test.targets[task].present).row
    return None if labelled is None else np.asarray(rows.groups[labelled.numpy()])


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
