"""Did sharing help? Single-task networks, joint ones and boosted trees side by side, over several seeds.

Every network has the same trunk, rows, budget and stopping; single-task networks differ in having one head. Variants are paired by
seed and by test row. The test rows are scored once a training, and nothing is chosen by them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cotrain.core.errors import DataError, RunError, UnsupportedError
from cotrain.core.fields import MAIN, Batch, Field
from cotrain.core.spec import InputSpec, Task
from cotrain.core.state import plain, write_json
from cotrain.data.sources import sources_of
from cotrain.recipe.auto_groups import (
    Document,
    find_groups,
    leaves_groups_open,
    listed_groups,
    stored_groups,
    with_groups,
)
from cotrain.recipe.balance_settings import Balance
from cotrain.recipe.begin import refuse_in_comparison
from cotrain.recipe.build import learnt_by
from cotrain.recipe.config import Config, load_config
from cotrain.recipe.folder import new_folder, newest_folder, write_text
from cotrain.recipe.network import gathered, train_network, whole
from cotrain.recipe.outcome import BOOSTING, SINGLE, joint_name, outcome, steps_alone, time_given
from cotrain.recipe.parts import Part, Parts, file_name
from cotrain.recipe.reader import Choice
from cotrain.recipe.rows import Rows, load_rows, read_alike
from cotrain.recipe.run import stored
from cotrain.recipe.same_config import same_config
from cotrain.training.boosting import boosted_output
from cotrain.training.evaluate import Gathered
from cotrain.training.settings import TrainSettings
from cotrain.training.settle import settled
from cotrain.training.trees import refuse_inputs

Say = Callable[[str], None]


def compare(
    config: Config,
    *,
    folder: Path | str | None = None,
    progress: Say | None = None,
    resume: bool = False,
    single: Config | None = None,
    beside: Mapping[str, Config] | None = None,
) -> Path:
    """Train and score every variant over the config's seeds; the folder that holds compare.json.

    The folder is a run folder too: it holds the config's own network, trained with the first seed, ready for `cotrain predict`.
    folder: the one to make, or runs/<name>-compare. resume: go on in that folder; what was trained there is not trained again.
    single: of the single-task networks, where they have settings of their own (tuned ones). beside: {name: a whole config} of further joint
    networks, which may differ in what no variant changes, such as heads and the weights of tasks; the rows they are tested on are the config's.
    Raises ConfigError or DataError for mistakes, RunError if the folder is in use, or was begun with other settings.
    """
    say = progress or (lambda text: None)
    refuse_in_comparison(config)
    rows = load_rows(config)
    if "test" not in rows.data.counts:
        raise DataError(
            f"a comparison is made on test rows, but there are none (splits: {', '.join(rows.data.counts)}); "
            "give data.split a share or rows for test"
        )
    apart = {name: one.data for name, one in config.sources.items()} or {MAIN: config.data}
    if any(one.streamed and apart[one.source].split.method == "group" for one in sources_of(rows.data)):
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
    groups = _groups(config, rows, path, say)
    variants = _variants(config, path, single or config, groups) | _beside(beside or {}, config, path, say)
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
    groups |= {name: stored_groups(one, path / "parts" / file_name(name)) for name, one in (beside or {}).items()}
    document["found"] = {
        name: {"groups": one["groups"], "seconds": one["seconds"]} for name, one in groups.items() if one is not None
    }
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
    budgets = ("single_time", "single_steps")
    changed += [f"compare.{key}" for key in budgets if before["compare"][key] != now["compare"][key]]
    changed += ["train"] if before["train"] != now["train"] else []
    if changed:
        which = " and ".join(f"'{key}'" for key in changed)
        raise RunError(
            f"folder '{folder}' was begun with another {which}, and its trainings cannot stand "
            "beside new ones; put the old settings back, or begin a new comparison"
        )


def _groups(config: Config, rows: Rows, folder: Path, say: Say) -> dict[str, Document | None]:
    """{variant: the groups found for it}, once for all seeds, with the config's own seed; kept with the comparison."""
    ways = {joint_name(config): (config, folder)}
    ways |= {name: (config.variant(name), folder / "parts" / file_name(name)) for name in config.compare.variants}
    return {name: _found(name, varied, rows, place, say) for name, (varied, place) in ways.items()}


def _found(name: str, config: Config, rows: Rows, folder: Path, say: Say) -> Document | None:
    """The groups found for one variant, or kept in its folder."""
    if leaves_groups_open(config):
        say(f"  finding out which tasks share: {name}")
    found = find_groups(config, rows, folder=folder)
    if found is not None:
        say(f"  found in {found['seconds']:.1f} s: {listed_groups(found['groups'])}")
    return found


Train = Callable[[Rows, int], Part | str]


def _variants(config: Config, folder: Path, single: Config, groups: Mapping[str, Document | None]) -> dict[str, Train]:
    """{name: how to train it for one seed}, in the order of the table. groups: found for each joint variant."""
    variants: dict[str, Train] = {}
    if config.compare.single:
        variants[SINGLE] = lambda rows, seed: _single(single, rows, seed)
    first = config.compare.seeds[0]
    own = groups[joint_name(config)]
    variants[joint_name(config)] = lambda rows, seed: _joint(config, rows, seed, own, folder if seed == first else None)
    for name in config.compare.variants:
        varied, found = config.variant(name), groups[name]
        variants[name] = lambda rows, seed, varied=varied, found=found: _joint(varied, rows, seed, found)  # type: ignore[misc]
    if config.compare.boosting:
        variants[BOOSTING] = lambda rows, seed: _boosting(config, rows, seed)
    return variants


def _beside(configs: Mapping[str, Config], config: Config, folder: Path, say: Say) -> dict[str, Train]:
    """{name: how to train that config}, on rows that are encoded as it says and not as `config` does."""
    read: dict[str, Rows] = {}
    groups: dict[str, Document | None] = {}

    def train(name: str, rows: Rows, seed: int) -> Part:
        one = configs[name]
        if read_alike(one) != read_alike(config):
            if name not in read:
                read[name] = load_rows(one)
            rows = read[name]
        if name not in groups:
            groups[name] = _found(name, one, rows, folder / "parts" / file_name(name), say)
        return _joint(one, rows, seed, groups[name])

    return {name: lambda rows, seed, name=name: train(name, rows, seed) for name in configs}  # type: ignore[misc]


def _joint(config: Config, rows: Rows, seed: int, groups: Document | None, folder: Path | None = None) -> Part:
    """A joint network; with a folder it is stored there as a run (and goes on from the checkpoint of an interrupted one)."""
    closed = with_groups(config, groups)
    done = train_network(closed, rows.data, rows.specs, rows.tasks, seed=seed, folder=folder, resume=folder is not None)
    if folder is not None:
        stored(config, rows, done, folder, groups)
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
    shares = steps_alone(config, rows) if config.compare.single_steps == "joint" else {}
    for task in rows.tasks:
        longer = dataclasses.replace(alone, train=as_many_steps(own, shares.get(task.name, 1.0)))
        done = train_network(longer, rows.data, rows.specs, [task], seed=seed)
        found |= gather_test(done.model, rows)
        learnt |= learnt_by(done.model.tasks)
        costs.append(done.cost)
    return Part(found, _costs(costs), None, learnt)


def as_many_steps(train: TrainSettings, share: float) -> TrainSettings:
    """Training settings with as many steps as where an epoch has 1 / share times as many; patience is counted in steps too.

    >>> longer = as_many_steps(TrainSettings(epochs=12), 0.25)
    >>> longer.epochs, longer.early_stopping.patience
    (48, 20)
    """
    stopping = train.early_stopping
    if stopping is not None:
        stopping = dataclasses.replace(stopping, patience=max(1, round(stopping.patience / share)))
    return dataclasses.replace(train, epochs=max(1, round(train.epochs / share)), early_stopping=stopping)


def _boosting(config: Config, rows: Rows, seed: int) -> Part | str:
    if rows.data.streamed:
        return "boosted trees need all rows in memory, and these are read piece by piece (data.stream)"
    found: dict[str, Gathered] = {}
    tasks: dict[str, Task] = {}
    without: list[str] = []
    began = time.monotonic()
    try:
        for specs in rows.specs.values():
            refuse_inputs(specs)
    except UnsupportedError as error:
        return str(error)
    for task in rows.tasks:
        data = rows.data.for_tasks([task.name])
        reads, specs = config.tasks[task.name].inputs, rows.specs[data.source]
        train, valid, test = (seen_by(reads, whole(data, split), specs) for split in ("train", "valid", "test"))
        if train is None or test is None:
            continue
        try:
            output = boosted_output(task, train, valid, test if valid is None else both(valid, test), specs, seed)
        except UnsupportedError as error:
            without.append(str(error))
            continue
        before = 0 if valid is None else len(valid)
        seen = None if valid is None else Gathered(output[:before], valid.targets[task.name], valid.weight)
        tasks[task.name], _ = settled(task, seen)
        found[task.name] = Gathered(output[before:], test.targets[task.name], test.weight)
    if without and not found:
        return "; ".join(without)
    return Part(found, {"seconds": time.monotonic() - began}, None, learnt_by(tasks))


def seen_by(reads: Collection[str] | None, batch: Batch | None, specs: InputSpec) -> Batch | None:
    """The rows with those fields only that belong to the inputs a task reads; None reads all."""
    if batch is None or reads is None:
        return batch
    return dataclasses.replace(
        batch, inputs={name: one for name, one in batch.inputs.items() if specs[name].group in reads}
    )


def both(first: Batch, second: Batch) -> Batch:
    """The inputs of two batches, one below the other."""
    return Batch({name: Field.cat([one, second.inputs[name]]) for name, one in first.inputs.items()})


def gather_test(model: Any, rows: Rows) -> dict[str, Gathered]:
    """{task: outputs on its labelled test rows}, so that every variant is scored on the same rows."""
    found: dict[str, Gathered] = {}
    for name in model.tasks:
        data = rows.data.for_tasks([name])
        if data.counts.get("test"):
            found |= {name: gathered(model, data, "test")[name]}
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
