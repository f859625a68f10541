"""`sharing: {name: branched, groups: auto}`: the groups are found before the training, kept beside it, and stand in the place of `auto`.

What is found is affinity.json, as `cotrain affinity` writes it, and beside it: {"seconds": what finding them took, "split": so many first stages all tasks share}.
It depends on the training rows, the config and its seed alone; a run that goes on, predicts or is scored reads it and finds nothing anew.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cotrain.core.state import plain, write_json
from cotrain.recipe.config import Config
from cotrain.recipe.folder import read_json
from cotrain.recipe.measured_affinity import ENOUGH, found, joined, measured
from cotrain.recipe.reader import Choice
from cotrain.recipe.rows import Rows
from cotrain.sharing.branched import AUTO
from cotrain.training.watch import Plan, Watcher

FILE = "affinity.json"

TIME = 1 / 3
"""The share of `train.time_limit` that finding groups may take; the training has the rest."""

Document = Mapping[str, Any]


def leaves_groups_open(config: Config) -> bool:
    """Whether the config leaves it to the recipe which tasks share.

    >>> from cotrain.recipe.config import config_from_dict
    >>> tree = {"tasks": ["a", "b"], "sharing": {"name": "branched", "groups": "auto"}}
    >>> leaves_groups_open(config_from_dict({**tree, "tasks": {"a": "regression", "b": "regression"}}, table={"x": [1.0], "a": [1.0], "b": [1.0]}))
    True
    """
    return config.sharing.name == "branched" and config.sharing.settings.get("groups") == AUTO


def find_groups(
    config: Config, rows: Rows, *, folder: Path | None = None, watcher: Watcher | None = None
) -> Document | None:
    """The groups that a joint training on these rows speaks for; None where the config asks for none.

    Of one task there is one group, and nothing is trained. folder: where affinity.json is read, if it is there, or written; a training that is
    interrupted is gone on with there.
    """
    if not leaves_groups_open(config):
        return None
    if len(config.tasks) == 1:
        return one_group(config)
    kept = None if folder is None else folder / FILE
    if kept is not None and kept.exists():
        return dict(read_json(kept))
    joint = joined(config)
    if config.train.limit is not None:
        joint = joint.limited(TIME * config.train.limit)
    within = None if folder is None else folder / "groups"
    if within is not None:
        within.mkdir(parents=True, exist_ok=True)
    told = None if watcher is None else Telling(watcher, purpose="to find out which tasks share")
    done = measured(joint, rows, folder=within, resume=within is not None, watcher=told)
    document = found(done.history.records, [task.name for task in rows.tasks], joint.affinity)
    stages = max(len(one.shapes[name]) - 1 for one in done.model.parts for name in one.tasks)  # type: ignore[index, union-attr]
    split = config.sharing.settings.get("split")
    document |= {"seconds": done.history.seconds, "split": stages // 2 if split is None else split}
    ready: Document = plain(document)
    if kept is not None and within is not None:
        write_json(kept, ready)
        shutil.rmtree(within)
    return ready


def stored_groups(config: Config, folder: Path) -> Document | None:
    """What was found for the run in a folder; None where its config asks for nothing."""
    if not leaves_groups_open(config):
        return None
    return one_group(config) if len(config.tasks) == 1 else dict(read_json(folder / FILE))


def one_group(config: Config) -> Document:
    """All tasks in one group: what there is to find of a single task, and what stands in the place of groups until they are found."""
    return {"groups": [list(config.tasks)], "seconds": 0.0, "split": config.sharing.settings.get("split") or 0}


def with_groups(config: Config, document: Document | None) -> Config:
    """The config with the groups that were found; of a time limit there is left what finding them did not take. None: as it is."""
    if document is None:
        return config
    settings = {"groups": [[list(group) for group in document["groups"]]], "split": document["split"]}
    limit = config.train.limit
    if limit is not None:
        config = config.limited(max(limit - document["seconds"], limit / 2))
    return dataclasses.replace(config, sharing=Choice("branched", settings))


def listed_groups(groups: Sequence[Sequence[str]]) -> str:
    """Groups in a line.

    >>> listed_groups([["a", "b"], ["c"]])
    'a, b | c'
    """
    return " | ".join(", ".join(group) for group in groups)


@dataclasses.dataclass(frozen=True)
class Telling:
    """A watcher that is also told what a training is for, and what was found before it."""

    watcher: Watcher
    purpose: str = ""
    found: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def started(self, plan: Plan) -> None:
        self.watcher.started(dataclasses.replace(plan, purpose=self.purpose, found={**self.found, **plan.found}))

    def stepped(self, epoch: int, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        self.watcher.stepped(epoch, step, losses)

    def ended_epoch(self, record: Mapping[str, Any]) -> None:
        self.watcher.ended_epoch(record)

    def ended(self, why: str) -> None:
        self.watcher.ended(why)


def telling(watcher: Watcher | None, document: Document | None) -> Watcher | None:
    """The watcher, told of the groups that were found."""
    if watcher is None or document is None:
        return watcher
    few = document.get("looks", ENOUGH) < ENOUGH
    return Telling(
        watcher, found={"groups": listed_groups(document["groups"]) + (" (too few looks to tell)" if few else "")}
    )
