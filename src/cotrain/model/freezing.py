"""Freezing: parts of a network that keep their values and stay in evaluation mode while the rest is trained."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from cotrain.core.errors import ConfigError, unknown
from cotrain.core.naming import slot

PARTS = ("encoder", "sharing", "trunk", "heads")
"""What can be frozen, beside `heads.<task>`. encoder: what reads the inputs, before the stages; sharing: the stages and all that shares
them; trunk: both; heads: those of all tasks."""


def check_frozen(names: Iterable[str], tasks: Sequence[str]) -> None:
    """Raises ConfigError for a name that is no part, with the nearest one, and where nothing would be left to train."""
    given = list(names)
    known = [*PARTS, *(f"heads.{task}" for task in tasks)]
    for name in given:
        if name not in known:
            raise ConfigError("freeze: " + unknown("part of the network", str(name), known))
    trunk = "trunk" in given or {"encoder", "sharing"} <= set(given)
    if trunk and ("heads" in given or all(f"heads.{task}" in given for task in tasks)):
        raise ConfigError(
            f"freeze: [{', '.join(given)}] leaves nothing to train; leave at least one part or head out of it"
        )


def modules_named(parts: Iterable[Any], heads: Mapping[str, nn.Module], names: Iterable[str]) -> Iterator[nn.Module]:
    """The modules that names of frozen parts stand for, in a network of these parts and heads."""
    parts, wanted = list(parts), set(names)
    for part in parts:
        if wanted & {"encoder", "trunk"}:
            yield part.encoders
        if wanted & {"sharing", "trunk"}:
            yield part.sharing
    for key, head in heads.items():
        if "heads" in wanted or any(slot(name.removeprefix("heads.")) == key for name in wanted if "." in name):
            yield head


def freeze_(modules: Iterable[nn.Module], spared: Collection[int]) -> list[nn.Parameter]:
    """Take the gradient from the parameters of these modules but those spared (by id); those it was taken from."""
    frozen = []
    for module in modules:
        for parameter in module.parameters():
            if parameter.requires_grad and id(parameter) not in spared:
                parameter.requires_grad_(False)
                frozen.append(parameter)
    return frozen


def rest_(module: nn.Module) -> None:
    """Evaluation mode for the layers of a frozen part, but for those whose parameters are all trained.

    >>> layers = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5), nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5)))
    >>> _ = layers[0].requires_grad_(False)
    >>> rest_(layers)
    >>> layers[1].training, layers[2][1].training
    (False, True)
    """
    trained = [parameter.requires_grad for parameter in module.parameters()]
    if not any(trained):
        module.eval()
    elif not all(trained):
        module.training = False
        for child in module.children():
            rest_(child)
