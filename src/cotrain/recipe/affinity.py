"""Which tasks belong together? Gradients compared during one joint training, the groups they speak for, and on request the proof.

    A_ij        mean over the looks (of the later epochs) of a pair's cosine (or share), 0 where it is within two standard errors of 0
    groups      the partition of the greatest sum of what the others of its group do for each task (`cotrain.search.grouping`)

The joint network is trained under the plain sum: what is asked is what sharing does, not what a balancing method makes of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cotrain.core.errors import ConfigError
from cotrain.core.state import plain, write_json
from cotrain.data.drawn import RowData
from cotrain.recipe.affinity_settings import AffinitySettings
from cotrain.recipe.balance_settings import Balance
from cotrain.recipe.config import Config
from cotrain.recipe.folder import new_folder, newest_folder, write_text
from cotrain.recipe.network import Trained, gathered, train_network
from cotrain.recipe.rows import Rows, load_rows
from cotrain.recipe.run import stored
from cotrain.recipe.same_config import same_config
from cotrain.search.grouping import Grouping, grouped
from cotrain.training.diagnose import Look
from cotrain.training.evaluate import scores
from cotrain.training.watch import Watcher

FORMAT = 1

SURE = 2.0
"""A mean is told from 0 when it is more standard errors than this away."""

Say = Callable[[str], None]
Records = Sequence[Mapping[str, Any]]


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
    if check:
        document |= {"check": proof(joint, rows, document, done, say)}
        document["verdict"] += " " + tried(document["check"]["gains"])
    write_json(path / "affinity.json", plain(document))
    return path


def joined(config: Config) -> Config:
    """The config of the joint training in which gradients are compared. Raises ConfigError where there is nothing to compare."""
    if len(config.tasks) < 2:
        raise ConfigError(
            f"which tasks belong together is a question of two tasks at least, got {', '.join(config.tasks)}; name more under `tasks`"
        )
    if config.sharing.name == "none":
        raise ConfigError("sharing 'none' has no shared part whose gradients could be compared; write sharing: hard")
    return dataclasses.replace(config, balance=Balance("sum"))


def measured(
    config: Config, rows: Rows, *, folder: Path | None = None, resume: bool = False, watcher: Watcher | None = None
) -> Trained:
    """The joint training with its looks."""
    settings = config.affinity
    look = Look(settings.at, settings.every)
    return train_network(
        config,
        rows.data,
        rows.specs,
        rows.tasks,
        seed=config.seed,
        folder=folder,
        resume=resume,
        watcher=watcher,
        look=look,
    )


def found(records: Records, tasks: Sequence[str], settings: AffinitySettings) -> dict[str, Any]:
    """affinity.json: means with their standard errors, the groups, and what is to be done, in one sentence.

    Of a pair, `forward` is the mean share (`AffinitySettings.by`) that the first does for the second, `backward` the reverse.

    Raises ConfigError if the gradients were never compared.
    """
    records = records[int(settings.begin * len(records)) :]
    pairs = {f"{one}|{other}": _mean(records, f"{one}|{other}") for one, other in _pairs(tasks)}
    if not any(count for _, _, count in pairs.values()):
        raise ConfigError(
            "the gradients of no two tasks were compared; are there steps in which two tasks have labels, and layers that both reach?"
        )
    shares = _shares(records, tasks)

    def does(one: str, other: str) -> float:
        mean, error, _ = pairs.get(f"{one}|{other}") or pairs[f"{other}|{one}"]
        if abs(mean) <= SURE * error:
            return 0.0
        return mean if settings.by == "cosine" else shares[f"{one}>{other}"]

    matrix = [[0.0 if one == other else does(one, other) for other in tasks] for one in tasks]
    grouping = grouped(tasks, matrix, most=settings.groups, margin=settings.margin, objective=settings.objective)
    return {
        "format": FORMAT,
        "tasks": list(tasks),
        "settings": dataclasses.asdict(settings),
        "looks": max(count for _, _, count in pairs.values()),
        "pairs": [
            {
                "first": one,
                "second": other,
                "cosine": mean if count else None,
                "error": error if count > 1 else None,
                "forward": shares.get(f"{one}>{other}"),
                "backward": shares.get(f"{other}>{one}"),
                "looks": count,
            }
            for one, other in _pairs(tasks)
            for mean, error, count in (pairs[f"{one}|{other}"],)
        ],
        "affinity": matrix,
        "groups": [list(group) for group in grouping.groups],
        "predicted": dict(grouping.values),
        "exact": grouping.exact,
        "verdict": sentence(grouping),
    }


def sentence(grouping: Grouping) -> str:
    """What to do, in words.

    >>> sentence(Grouping((("a", "b"), ("c",)), {"a": 0.2, "b": 0.2, "c": 0.0}, True))
    'Train a and b together; train c apart.'
    """
    together, alone = grouping.together, [group[0] for group in grouping.groups if len(group) == 1]
    if not together:
        return "Train these apart: no group of them helps its tasks by more than the margin."
    if len(grouping.groups) == 1:
        return "Train all of them together."
    parts = [f"train {_listed(group)} together" for group in together]
    parts += [f"train {_listed(alone)} apart"] if alone else []
    words = "; ".join(parts)
    return f"{words[0].upper()}{words[1:]}."


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


def _pairs(tasks: Sequence[str]) -> list[tuple[str, str]]:
    return [(one, other) for place, one in enumerate(tasks) for other in tasks[place + 1 :]]


def _mean(records: Records, pair: str) -> tuple[float, float, int]:
    """(mean cosine, its standard error, looks) of a pair over the epochs."""
    total = squares = 0.0
    count = 0
    for record in records:
        times = (record.get("looks") or {}).get(pair, 0)
        if times:
            mean, spread = record["cosines"][pair], record["spread"][pair]
            total, squares, count = total + times * mean, squares + times * (spread**2 + mean**2), count + times
    if count < 2:
        return total, math.inf, count
    mean = total / count
    return mean, math.sqrt(max(squares / count - mean**2, 0.0) / (count - 1)), count


def _shares(records: Records, tasks: Sequence[str]) -> dict[str, float]:
    """{"a>b": mean share over the looks}; pairs that were never met are absent."""
    out: dict[str, float] = {}
    for one, other in _pairs(tasks):
        pair = f"{one}|{other}"
        held = [
            (record["looks"][pair], record["shares"]) for record in records if (record.get("looks") or {}).get(pair)
        ]
        count = sum(times for times, _ in held)
        for way in (f"{one}>{other}", f"{other}>{one}") if count else ():
            out[way] = sum(times * shares[way] for times, shares in held) / count
    return out


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
