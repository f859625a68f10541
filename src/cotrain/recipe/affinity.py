"""Which tasks belong together? The joint training in which gradients are compared (`measured_affinity`), and on request the proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cotrain.core.state import plain, write_json
from cotrain.data.drawn import RowData
from cotrain.data.sources import sources_of
from cotrain.recipe.config import Config
from cotrain.recipe.folder import new_folder, newest_folder, write_text
from cotrain.recipe.measured_affinity import found, joined, measured
from cotrain.recipe.network import Trained, gathered, train_network
from cotrain.recipe.rows import Rows, load_rows
from cotrain.recipe.run import stored
from cotrain.recipe.same_config import same_config
from cotrain.training.evaluate import scores
from cotrain.training.watch import Watcher

Say = Callable[[str], None]

FEW = 0.2
"""A task with labels in less than this share of the training rows is spoken of where it is to be trained apart."""


def affinity(
    config: Config,
    *,
    folder: Path | str | None = None,
    check: bool = False,
    resume: bool = False,
    progress: Say | None = None,
    watcher: Watcher | None = None,
) -> Path:
    """Train the config's joint network while its tasks' gradients are compared; the run folder, with affinity.json in it.

    check: train also every task alone and every group of two and more, and set what came beside what was predicted, on the validation rows.
    resume: go on in that folder, or in the newest runs/<name>-affinity. Raises ConfigError for a single task or an `affinity` that cannot
    be, and what training raises.
    """
    say = progress or (lambda text: None)
    joint = joined(config)
    name = f"{config.name}-affinity"
    path = newest_folder(name, folder) if resume else new_folder(name, folder)
    if resume:
        same_config(joint, path)
    rows = load_rows(joint)
    write_text(path / "config.yaml", joint.to_yaml())
    write_json(path / "data.json", rows.report)
    done = measured(joint, rows, folder=path, resume=resume, watcher=watcher)
    stored(joint, rows, done, path)
    document = found(done.history.records, [task.name for task in rows.tasks], joint.affinity)
    document["verdict"] += rarely_labelled(rows, document["groups"])
    if check:
        document |= {"check": proof(joint, rows, document, done, say)}
        document["verdict"] += " " + tried(document["check"]["gains"])
    write_json(path / "affinity.json", plain(document))
    return path


def rarely_labelled(rows: Rows, groups: Sequence[Sequence[str]]) -> str:
    """A sentence on tasks that are to be trained apart and have labels in few of the rows: other rows give no gradient, so that any cosine
    with theirs is small. Of several sources nothing is said.
    """
    if len(sources_of(rows.data)) > 1:
        return ""
    whole = rows.data.count("train")
    alone = [group[0] for group in groups if len(group) == 1]
    shares = {task: rows.data.for_tasks([task]).count("train") / whole for task in alone}
    few = ", ".join(f"{task} ({100 * share:.0f} %)" for task, share in shares.items() if share < FEW)
    return (
        f" Few rows have the label of {few}, which by itself makes cosines small: there apart is weakly founded, and --check tries it."
        if few
        else ""
    )


def proof(config: Config, rows: Rows, document: Mapping[str, Any], joint: Trained, say: Say) -> dict[str, Any]:
    """What each group really does: {"errors": {task: {"alone", "together", "grouped"}}, "gains": {task: {"together", "grouped"}}}.

    Errors are of the validation rows (of the test rows where there are none to choose by), with the config's seed; a gain is 1 - error / error alone.
    """
    split = "valid" if rows.data.counts.get("valid") else "test"
    names = [task.name for task in rows.tasks]
    errors: dict[str, dict[str, float]] = {name: {} for name in names}
    _note(errors, "together", joint, rows.data, split)
    for name in names:
        say(f"alone: {name}")
        _note(errors, "alone", _trained(config, rows, [name]), rows.data, split)
    for group in document["groups"]:
        if len(group) == 1:
            errors[group[0]]["grouped"] = errors[group[0]]["alone"]
        elif len(group) == len(names):
            _note(errors, "grouped", joint, rows.data, split)
        else:
            say(f"together: {', '.join(group)}")
            _note(errors, "grouped", _trained(config, rows, group), rows.data, split)
    gains = {
        name: {way: gained(one[way], one["alone"]) for way in ("together", "grouped")} for name, one in errors.items()
    }
    return {"split": split, "seed": config.seed, "errors": errors, "gains": gains}


def tried(gains: Mapping[str, Mapping[str, float | None]]) -> str:
    """What came of it, in words: mean gains over the tasks, of the groups and of all together.

    >>> tried({"a": {"together": -0.1, "grouped": 0.02}, "b": {"together": 0.02, "grouped": 0.0}})
    'Tried with one seed: in these groups the error is 1.0 % less than alone, all together 4.0 % more.'
    """

    def words(way: str) -> str:
        held = [value for one in gains.values() if (value := one[way]) is not None]
        mean = sum(held) / len(held) if held else 0.0
        return f"{100 * abs(mean):.1f} % {'less' if mean >= 0 else 'more'}"

    return f"Tried with one seed: in these groups the error is {words('grouped')} than alone, all together {words('together')}."


def gained(error: float, alone: float) -> float | None:
    """1 - error / error alone, None where that one is 0.

    >>> gained(0.9, 1.0)
    0.09999999999999998
    """
    return None if alone == 0 else 1 - error / alone


def _trained(config: Config, rows: Rows, names: Sequence[str]) -> Trained:
    chosen = [task for task in rows.tasks if task.name in names]
    return train_network(config, rows.data, rows.specs, chosen, seed=config.seed)


def _note(errors: dict[str, dict[str, float]], way: str, done: Trained, data: RowData, split: str) -> None:
    """Write down the errors of the network's tasks; all networks are scored on the same rows."""
    for name, task in done.model.tasks.items():
        reached = scores({name: task}, {name: gathered(done.model, data.for_tasks([name]), split)[name]})
        errors.setdefault(name, {})[way] = task.error(reached[name])
