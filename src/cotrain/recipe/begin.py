"""What a training begins with: the run that `train.warm_start` names, and whether everything in it still means the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cotrain.core.errors import ConfigError
from cotrain.core.fields import MAIN
from cotrain.core.spec import Codec
from cotrain.data.earlier import Earlier
from cotrain.data.encoded_sources import encoders_from
from cotrain.model.counterparts import Sources, counterparts
from cotrain.recipe.build import build_tasks
from cotrain.recipe.config import Config, load_config
from cotrain.recipe.folder import existing_folder, read_json


@dataclass(frozen=True)
class Beginning:
    """An earlier run as a new one sees it. earlier: {source: how its columns and tasks are coded}, a source absent that begins anew.
    learnt: {task: JSON of what it learnt on validation rows}. notes: what a reader should know.
    """

    earlier: Mapping[str, Earlier]
    learnt: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def beginning(config: Config) -> Beginning | None:
    """What `train.warm_start` says the training begins with; None without it.

    Raises RunError for a folder without a finished run, ConfigError for a task of the same name whose target is coded otherwise now.
    """
    if config.train.warm_start is None:
        return None
    path = existing_folder(config.train.warm_start)
    before = load_config(path / "config.yaml", files=False)
    stored = read_json(path / "encoders.json")
    codecs: dict[str, Codec] = {}
    now = {task.name: task for task in build_tasks(config)}
    for task in build_tasks(before):
        same = now.get(task.name)
        if same is None or (same.kind, tuple(same.codec.columns)) != (task.kind, tuple(task.codec.columns)):
            continue
        if same.codec != task.codec:
            raise ConfigError(
                f"task '{task.name}': its target is coded as {same.codec} now and was as {task.codec} in '{path}', whose weights are to be "
                "taken (train.warm_start); say it as there, or give the task another name"
            )
        codecs[task.name] = type(task.codec).from_json(stored["targets"][task.name])
    ours, theirs = alone(config), alone(before)
    same_rows = list(ours) == list(theirs) and all(same_split(theirs[source], one) for source, one in ours.items())
    learnt = {name: one for name, one in (stored.get("learnt") or {}).items() if name in codecs}
    notes: tuple[str, ...] = ()
    pairs = [(one, other) for one in theirs.values() for other in ours.values()]
    if any(one.data.path and one.data.path == other.data.path and not same_split(one, other) for one, other in pairs):
        notes = (
            f"warm start: the rows of '{path}' were split otherwise, so that some that now test may have trained it; scores of what it "
            "knew already can be too good",
        )
    encoders, here, there = encoders_from(stored["inputs"]), sources_told(config), sources_told(before)
    earlier: dict[str, Earlier] = {}
    for source, one in counterparts(here, there).items():
        if one is not None:
            own = source if there.encoders.get(source) == one else one
            coded = {name: codec for name, codec in codecs.items() if here.tasks[name] == source}
            earlier[source] = Earlier(str(path), encoders[own], coded, same_rows)
    return Beginning(earlier, learnt, notes)


def sources_told(config: Config) -> Sources:
    """The sources of a config, as its network will have them."""
    tasks = {name: target.source or next(iter(config.sources), MAIN) for name, target in config.tasks.items()}
    encoders = {name: config.shared[0] if name in config.shared else name for name in config.sources}
    return Sources(encoders or {MAIN: MAIN}, tasks)


def alone(config: Config) -> dict[str, Config]:
    """{source: the config of that source, as if it were the only one}."""
    return {name: config.of_source(name) for name in config.sources} or {MAIN: config}


def plainly(config: Config) -> dict[str, Any]:
    """The config as plain values, without what changes no row."""
    tree = config.as_dict()
    return {**tree, "data": {key: one for key, one in tree["data"].items() if key != "cache"}}


def same_split(before: Config, now: Config) -> bool:
    """Whether two configs of one source deal the same rows of the same files to the same splits."""
    if before.table is not None or now.table is not None or not before.data.path:
        return False
    one, other = plainly(before), plainly(now)
    if any(one[key] != other[key] for key in ("data", "inputs", "seed")):
        return False
    columns = [{column for target in config.tasks.values() for column in target.columns} for config in (before, now)]
    return now.data.split.method != "stratified" or columns[0] == columns[1]


def refuse_in_comparison(config: Config) -> None:
    """Raises ConfigError where a comparison would begin with what joint training has learnt already."""
    for train in (config.train, *(one.train for one in config.compare.variants.values() if one.train is not None)):
        for key in ("warm_start", "freeze"):
            if getattr(train, key):
                raise ConfigError(
                    f"train.{key} is for a single training; a comparison asks what tasks bring each other from the start, alone and "
                    "together. Take it out for `cotrain compare`"
                )
