"""Where copies begin, and the copies that belong to one task each."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.naming import slot
from cotrain.core.signals import Signal
from cotrain.core.stacked import never_in_place_, replica


def first_copied(name: str, split: int, stages: Sequence[nn.Module] | nn.ModuleList, key: str = "split") -> int:
    """The index of the first stage that is copied; -1 is the last one. Raises ConfigError where the encoder has no such stage.

    >>> first_copied("mmoe", -1, [nn.Identity(), nn.Identity()])
    1
    """
    count = len(stages)
    if count == 0:
        raise ConfigError(
            f"{name} copies stages of the encoder, but this one has none; name some (widths of an mlp, stages= of an own trunk), or use sharing hard"
        )
    begin = split + count if split < 0 else split
    if not 0 <= begin < count:
        raise ConfigError(
            f"{name}.{key} is {split}, but the encoder has {count} stages to copy; use a {key} in [-{count}, {count - 1}]"
        )
    return begin


def whole_number(what: str, value: object, least: int = 1) -> None:
    """Raises ConfigError unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{what} must be a whole number of at least {least}, got {value!r}")


def not_negative(what: str, value: float) -> None:
    """Raises ConfigError unless `value` is a finite number of at least 0."""
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{what} must be a number of at least 0, got {value}")


def per_task(stages: nn.ModuleList, tasks: Sequence[str], *, alike: bool = True) -> nn.ModuleDict:
    """{slot(task): a copy of all these stages}; the first task takes over the stages themselves.

    They stay apart, a copy a task, and never become one stacked layer: what belongs to one task is to be reached by its loss alone, so
    that a balancer leaves it alone and an exact step passes it once.
    """
    copies = nn.ModuleDict()
    for index, task in enumerate(tasks):
        own = nn.ModuleList(replica(stage, alike=alike) for stage in stages)
        copies[slot(task)] = own if index else never_in_place_(stages)
    return copies


def run(stages: Sequence[nn.Module] | nn.ModuleList, signal: Signal) -> list[Signal]:
    """The signals after each of these stages, the one they began with not among them."""
    signals: list[Signal] = []
    for stage in stages:
        signals.append(stage(signals[-1] if signals else signal))
    return signals
