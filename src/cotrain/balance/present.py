"""Which tasks take part in a step: losses checked at the door, the same on every process."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cotrain.balance.processes import Processes
from cotrain.core.errors import ConfigError


class Step(NamedTuple):
    """What one call of `Engine.backward` is about.

    names, values, losses: the tasks that take part, their losses as given (a constant where another process has the task), and
    [T] float64 over all processes, unscaled. skipped: tasks left out, with the reason.
    """

    names: tuple[str, ...]
    values: list[Tensor]
    losses: Tensor
    skipped: dict[str, str]
    penalty: Tensor | None
    loss_scale: float
    rows: Mapping[str, Tensor]


def present(
    losses: Mapping[str, Tensor],
    penalty: Tensor | None,
    rows: Mapping[str, Tensor] | None,
    loss_scale: float,
    tasks: Sequence[str],
    processes: Processes | None,
) -> Step:
    """The step of these losses. A task whose loss is not finite, or the penalty, is named in `skipped` and still among the values.

    Raises ConfigError for a loss that is not one number, or a name that is not among `tasks` where those were given.
    """
    values = _scalars(losses)
    names = tuple(losses)
    if tasks:
        strange = [name for name in names if name not in tasks]
        if strange:
            raise ConfigError(
                f"Engine(tasks={list(tasks)}) got a loss for {strange}; add the name to `tasks` or rename the loss"
            )
        names = tuple(name for name in tasks if name in losses)
        values = [values[name_place] for name_place in map(list(losses).index, names)]
    with torch.no_grad():
        seen = torch.stack(values).double() if values else torch.zeros(0, dtype=torch.float64)
    lost = penalty is not None and not math.isfinite(float(penalty.detach()))
    if processes is not None:
        mine = dict(zip(names, values, strict=True))
        names, seen = processes.agree_on_losses(names, seen.to(processes.device))
        values = [mine.get(name, seen.new_zeros(())) for name in names]
        lost = processes.any([lost])[0]
    if loss_scale != 1.0:
        seen = seen / loss_scale
    skipped = {
        name: "its loss is not finite"
        for name, loss in zip(names, seen.tolist(), strict=True)
        if not math.isfinite(loss)
    }
    if lost:
        skipped["penalty"] = "it is not finite"
    return Step(names, values, seen, skipped, penalty, loss_scale, rows or {})


def without_skipped(step: Step) -> Step:
    """The step with only those tasks whose loss is finite."""
    kept = [place for place, name in enumerate(step.names) if name not in step.skipped]
    names = tuple(step.names[place] for place in kept)
    return step._replace(names=names, values=[step.values[place] for place in kept], losses=step.losses[kept])


def given_weights(names: Sequence[str], weights: Mapping[str, float], losses: Tensor) -> Tensor:
    """[T]: weights handed in by the caller, in the order of `names`. Raises ConfigError where one is missing."""
    missing = [name for name in names if name not in weights]
    if missing:
        raise ConfigError(f"Engine expects a weight for every task; got none for {missing}; add them to `weights`")
    return losses.new_tensor([float(weights[name]) for name in names])


def _scalars(losses: Mapping[str, Tensor]) -> list[Tensor]:
    values = []
    for name, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            came = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
            raise ConfigError(f"Engine expects one number a task; task '{name}' gave {came}; reduce its loss first")
        values.append(loss if loss.dim() == 0 else loss.reshape(()))
    return values
