"""A sensible space for a config that says nothing of tuning: structure and training, each beginning where the config stands."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.gallery import settings_of
from cotrain.core.randomness import untouched
from cotrain.core.signals import Shape
from cotrain.core.stacked import Stage
from cotrain.encoders.gallery import ENCODERS
from cotrain.recipe.build import build_choice
from cotrain.recipe.config import Config
from cotrain.recipe.plain_config import choice_dict
from cotrain.recipe.searches import searches
from cotrain.sharing.gallery import SHARINGS as SHARING_GALLERY

RATES = 8.0
"""The learning rate may be so many times smaller or larger."""

SHARINGS: tuple[Any, ...] = (
    "hard",
    {"name": "mmoe", "experts": {"search": {"low": 2, "high": 8, "default": 8}}},
    {"name": "cgc", "shared": {"search": {"low": 1, "high": 3, "default": 1}}},  # ple of one level, which any depth has
    "cross_stitch",
    "film",
)
HEADS: tuple[Any, ...] = ("linear", {"name": "mlp", "widths": [64]})
BALANCES = ("sum", "uncertainty", "famo", "nash_mtl")
BATCHES = (64, 128, 256, 512, 1024)


def auto_space(tree: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """The raw tree with searches where it has none: sharing, width, depth and dropout of the encoder, head, task weights, balancer, learning
    rate, weight decay, batch size. What the tree opens itself stays as it is. config: the tree's own, closed; it gives the defaults.

    With one task there is nothing to share, to weigh or to balance.
    """
    out: dict[str, Any] = copy.deepcopy(dict(tree))
    asked = searches(out)
    several = len(config.tasks) > 1
    if several and not _open(asked, "sharing"):
        out["sharing"] = _choice(SHARINGS, choice_dict(config.sharing))
    if several and not _open(asked, "balance"):
        out["balance"] = _choice(BALANCES, choice_dict(config.balance))
    if not _open(asked, "head"):
        out["head"] = _choice(HEADS, "linear" if config.head is None else choice_dict(config.head))
    if several and isinstance(out.get("tasks"), Mapping):
        out["tasks"] = {name: _weighed(task, asked, name) for name, task in out["tasks"].items()}
    if not _open(asked, "encoder"):
        out["encoder"] = _encoder(config)
    train = dict(out.get("train") or {})
    optimizer = dict(train["optimizer"]) if isinstance(train.get("optimizer"), Mapping) else {}
    lr, decay = config.train.optimizer.lr, config.train.optimizer.weight_decay
    if not _open(asked, "train", "optimizer", "lr"):
        middle = lr if isinstance(lr, float | int) else 1e-3
        optimizer["lr"] = _range(middle / RATES, middle * RATES, middle)
    if not _open(asked, "train", "optimizer", "weight_decay"):
        optimizer["weight_decay"] = _range(1e-5, 0.3, min(max(float(decay or 0.0), 1e-5), 0.3))
    if not _open(asked, "train", "batch_size"):
        size = config.train.batch_size
        train["batch_size"] = _choice(tuple(sorted({*BATCHES, size} if isinstance(size, int) else BATCHES)), size)
    out["train"] = {**train, "optimizer": {"name": config.train.optimizer.name, **optimizer}}
    return out


def _open(asked: Mapping[Any, Any], *keys: str) -> bool:
    return any(way[: len(keys)] == keys for way in asked)


def _range(low: float, high: float, default: float) -> dict[str, Any]:
    return {"search": {"low": low, "high": high, "log": True, "default": default}}


def _choice(options: tuple[Any, ...], own: Any) -> dict[str, Any]:
    """A choice that begins with what the config says, which is one of the options, in place of the one of its name if it has settings.

    >>> _choice(("a", {"name": "b", "x": 1}), {"name": "b", "x": 2})
    {'search': {'choice': ['a', {'name': 'b', 'x': 2}], 'default': {'name': 'b', 'x': 2}}}
    """
    named = {one["name"] if isinstance(one, Mapping) else one: one for one in options}
    if isinstance(own, Mapping):
        named[own["name"]] = own
    else:
        named.setdefault(own, own)
    return {"search": {"choice": list(named.values()), "default": own}}


def _weighed(task: Any, asked: Mapping[Any, Any], name: str) -> Any:
    """A task with an open weight, its own one the middle."""
    if isinstance(task, str):
        task = {"kind": task}
    if not isinstance(task, Mapping) or _open(asked, "tasks", name, "weight"):
        return task
    middle = float(task.get("weight", 1.0))
    if middle <= 0:
        raise ConfigError(f"task '{name}' has weight {middle:g}; a weight that is searched for is above 0")
    return {**task, "weight": _range(middle / 4, middle * 4, middle)}


def _encoder(config: Config) -> dict[str, Any]:
    """The config's encoder with open width, depth and dropout where it has such settings."""
    cls = ENCODERS[config.encoder.name]
    known = settings_of(cls)
    given = choice_dict(config.encoder)
    out: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"name": given}
    if "filters" in known:  # whose widths are the words a filter sees
        many = int(out.get("filters", known["filters"].default))
        out["filters"] = _choice(tuple(sorted({max(1, many // 2), many, 2 * many})), many)
    elif "widths" in known and all(isinstance(one, int) for one in out.get("widths", known["widths"].default)):
        own = [int(one) for one in out.get("widths", known["widths"].default)]
        shapes = _shapes(own, pictures="kernel" in known)
        if _shares(config, len(own)):
            fits = {depth for depth in {len(one) for one in shapes} if _shares(config, depth)}
            shapes = [one for one in shapes if len(one) in fits]
        out["widths"] = {"search": {"choice": shapes, "default": own}}
    if "dropout" in known:
        own_dropout = float(out.get("dropout", known["dropout"].default))
        out["dropout"] = {"search": {"low": 0.0, "high": max(0.5, own_dropout), "default": own_dropout}}
    return out


def _shares(config: Config, depth: int) -> bool:
    """Whether the config's own way of sharing takes an encoder of so many layers: `ple` asks for one a level, a split for one behind it."""
    stages = nn.ModuleList(Stage(nn.Linear(1, 1)) for _ in range(depth))
    try:
        with untouched():
            build_choice(SHARING_GALLERY, config.sharing).build(
                stages, [Shape("vector", 1)] * (depth + 1), list(config.tasks)
            )
    except ConfigError:
        return False
    return True


def _shapes(own: list[int], *, pictures: bool) -> list[list[int]]:
    """Widths of layers to choose from: for columns one to three of 64, 128 or 256, for pictures half and twice as many channels each.

    >>> _shapes([16, 32], pictures=True)
    [[8, 16], [16, 32], [32, 64]]
    """
    if pictures:
        found = {tuple(max(1, width * times // 2) for width in own) for times in (1, 2, 4)}
    else:
        found = {tuple(own)} | {(width,) * depth for width in (64, 128, 256) for depth in (1, 2, 3)}
    return [list(one) for one in sorted(found)]
