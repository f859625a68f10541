"""What one joint training says of its tasks: the means of their gradients' cosines and shares, and the groups these speak for.

    A_ij        mean over the looks (of the later epochs) of a pair's cosine (or share), 0 where it is within two standard errors of 0
    groups      the partition of the greatest sum of what the others of its group do for each task (`cotrain.search.grouping`)

The joint network is trained under the plain sum: what is asked is what sharing does, not what a balancing method makes of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cotrain.core.errors import ConfigError
from cotrain.recipe.affinity_settings import AffinitySettings, Place
from cotrain.recipe.balance_settings import Balance
from cotrain.recipe.config import Config
from cotrain.recipe.network import Trained, train_network
from cotrain.recipe.reader import Choice
from cotrain.recipe.rows import Rows
from cotrain.search.grouping import Grouping, grouped
from cotrain.training.diagnose import Look
from cotrain.training.watch import Watcher

FORMAT = 1
"""Of affinity.json."""

SURE = 2.0
"""A mean is told from 0 when it is more standard errors than this away."""

NAMING = ("branched", "cascade")
"""Ways of sharing whose settings name tasks."""

LOOKS = 20
"""So many looks count at least, where there are as many steps."""

ENOUGH = 10
"""Of fewer looks nothing is concluded."""

Records = Sequence[Mapping[str, Any]]


def joined(config: Config) -> Config:
    """The config of the joint training in which gradients are compared: under the plain sum, and with all of the trunk shared where the sharing itself says
    which tasks (`NAMING`), so that any of them can be trained together. Raises ConfigProblems where there is nothing to compare.
    """
    if len(config.tasks) < 2:
        message = (
            f"which tasks belong together is a question of two tasks at least, got {', '.join(config.tasks)}; name more"
        )
        raise config.origin.refusal(("tasks",), message)
    if config.sharing.name == "none":
        message = "sharing 'none' has no shared part whose gradients could be compared; write sharing: hard"
        raise config.origin.refusal(("sharing",), message)
    sharing = Choice("hard") if config.sharing.name in NAMING else config.sharing
    affinity = dataclasses.replace(config.affinity, at=_place(config))
    return dataclasses.replace(config, sharing=sharing, balance=Balance("sum"), affinity=affinity)


def _place(config: Config) -> Place:
    """Where gradients are compared: at the features, unless no feature is common to two tasks."""
    tasks = config.tasks.values()
    apart = ""
    if len({target.source for target in tasks}) > 1:
        apart = "tasks have their rows in several sources"
    elif len({target.inputs for target in tasks}) > 1:
        apart = "tasks read different inputs"
    at = config.affinity.at
    if at == "features" and apart:
        message = f"is features, but {apart}, so that no feature is common to all of them and every cosine there would be 0; write parameters "
        raise config.origin.refusal(("affinity", "at"), message + "(or leave it out), or lookahead")
    if at != "auto":
        return at
    return "parameters" if apart else "features"


def measured(
    config: Config, rows: Rows, *, folder: Path | None = None, resume: bool = False, watcher: Watcher | None = None
) -> Trained:
    """The joint training with its looks."""
    look = looks(config, rows)
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


def looks(config: Config, rows: Rows) -> Look:
    """Where gradients are compared, and how often: as the config says, or closer where the training is so short that there would not be `LOOKS` that
    count; rarely in the share of it that is left out.
    """
    settings, size, at = config.affinity, config.train.batch_size, _place(config)
    if not isinstance(size, int):
        return Look(at, settings.every)
    steps = config.train.epochs * rows.data.steps("train", size * config.train.accumulate)
    settled = int(settings.begin * steps)
    return Look(at, max(1, min(settings.every, (steps - settled) // LOOKS)), settled)


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

    looks = max(count for _, _, count in pairs.values())
    matrix = [[0.0 if one == other else does(one, other) for other in tasks] for one in tasks]
    grouping = grouped(tasks, matrix, most=settings.groups, margin=settings.margin, objective=settings.objective)
    return {
        "format": FORMAT,
        "tasks": list(tasks),
        "settings": dataclasses.asdict(settings),
        "looks": looks,
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
        "verdict": sentence(grouping) if looks >= ENOUGH else too_few(looks),
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


def too_few(looks: int) -> str:
    """What is said of a training that was over too soon.

    >>> too_few(3)
    'Too few looks to tell: 3 that count, at least 10 are wanted. Train longer, or look more often (affinity.every).'
    """
    return f"Too few looks to tell: {looks} that count, at least {ENOUGH} are wanted. Train longer, or look more often (affinity.every)."


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
