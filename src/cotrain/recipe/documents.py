"""What a finished run knows of itself, as the JSON documents of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cotrain.core.fields import MAIN
from cotrain.core.spec import Task
from cotrain.core.state import plain
from cotrain.data.sources import sources_of
from cotrain.recipe.auto_groups import FILE, Document
from cotrain.recipe.build import learnt_by
from cotrain.recipe.config import Config
from cotrain.recipe.folder import FORMAT
from cotrain.recipe.network import Trained, gathered, samples
from cotrain.recipe.rows import Rows
from cotrain.recipe.shown_pictures import PICTURES, shown_pictures
from cotrain.tasks.scores import NEITHER
from cotrain.training.baseline import constants
from cotrain.training.evaluate import Gathered, scores

SPLITS = ("valid", "test")
"""The splits whose scores are stored; the training split is scored on request."""


def documents(config: Config, rows: Rows, done: Trained, groups: Document | None = None) -> dict[str, Any]:
    """What a finished run knows of itself, as the JSON of its folder; the test split is scored here, and only here.

    config: as it was trained. groups: found before it, where its own file leaves them to be found.
    """
    tasks = done.model.tasks
    found = {split: gathered(done.model, rows.data, split) for split in SPLITS}
    reached = {split: scores(tasks, one) for split, one in found.items()}
    plain_tasks = {task.name: task for task in rows.tasks}
    base = constants(plain_tasks, [samples(rows.data, "train")])
    plainly = config.as_dict()
    metrics = {
        "format": FORMAT,
        "seed": done.seed,
        "best_epoch": done.history.best_epoch,
        "stopped": done.history.stopped,
        "skipped": done.history.skipped,
        "left_out": done.history.left_out,
        "found": {**done.history.found, **({} if groups is None else {"groups": groups["groups"]})},
        "notes": done.history.notes,
        "splits": reached,
        "constant": base.scores(plain_tasks, found["test"] or found["valid"]),
        "learnt": _learnt(tasks, plain_tasks, found),
        "cost": dict(done.cost),
        "higher_is_better": {
            name: {metric: tasks[name].metrics.higher_is_better(metric) for metric in one if metric not in NEITHER}
            for name, one in {**reached["valid"], **reached["test"]}.items()
        },
    }
    specs = {
        source: {
            name: {key: one for key, one in vars(spec).items() if key != "quantiles"} for name, spec in own.items()
        }
        for source, own in rows.specs.items()
    }
    structure = {
        "format": FORMAT,
        "name": config.name,
        **done.model.structure(),
        "specs": specs if config.sources else specs[MAIN],
        **{key: plainly[key] for key in ("encoder", "sharing", "balance", *(("inputs",) if config.fused else ()))},
    }
    made = {"metrics.json": plain(metrics), "structure.json": plain(structure), "data.json": plain(rows.report)}
    if groups is not None:
        made[FILE] = dict(groups)
    shown = (shown_pictures(done.model, one, rows.specs[one.source]) for one in sources_of(rows.data))
    pictures = next((one for one in shown if one is not None), None)
    return made if pictures is None else {**made, PICTURES: plain(pictures)}


def _learnt(
    tasks: Mapping[str, Task], plain_tasks: Mapping[str, Task], found: Mapping[str, Mapping[str, Gathered]]
) -> dict[str, Any]:
    """{task: what it learnt on the validation rows, and its scores without that (before), by split}."""
    learnt = learnt_by(tasks)
    out = {}
    for name, one in learnt.items():
        before = {split: scores(plain_tasks, {name: rows[name]})[name] for split, rows in found.items() if name in rows}
        out[name] = {**one, "before": before}
    return out
