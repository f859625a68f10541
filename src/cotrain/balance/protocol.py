"""What a balancing method sees and what it answers.

Shapes: T tasks present in this step, L layers (one a shared parameter tensor group), P shared parameters.

A **Weigher** turns what it asked for (`needs`) into weights: `[T]`, or `[L, T]` for one weight per layer and task.
A **Combiner** is shown the T gradients themselves, at the features or at the parameters, and answers the combined one.
The engine gathers, calls, applies; a method never touches the network.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError

Need = Literal["losses", "gramian", "layer_gramians", "second_gramian", "validation"]
Family = Literal["loss", "gradient"]


@dataclass(frozen=True)
class Seen:
    """What the engine shows a method at one step; everything is detached, float64, on the losses' device.

    tasks: names of the tasks present, in the order of every tensor below.
    losses: [T] this step's losses (all sums / all counts, over processes too).
    gramian: [T, T] inner products of the tasks' gradients on the shared part, or None if not asked for.
    layer_gramians: [L, T, T], summing to `gramian`, in the order the parameters were registered; the last is nearest the heads.
    second_gramian: [T, T] cross Gramian with a second batch. validation: [T] losses on a validation batch.
    step: how many steps this engine has made before this one; windows are counted in steps.
    """

    tasks: tuple[str, ...]
    losses: Tensor
    step: int
    gramian: Tensor | None = None
    layer_gramians: Tensor | None = None
    second_gramian: Tensor | None = None
    validation: Tensor | None = None


class Balancer(abc.ABC):
    """What every method has in common: a name, a family, its cost, its source, and a state that loads into a fresh object.

    `family`: "loss" methods weight trunk and heads alike; "gradient" methods weight the shared part only and leave each head at
    its own task's unit gradient. State is kept by task name, so that an absent task, a new one or another order do no harm.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    source: ClassVar[str]
    """One line: authors, title, venue, year, equation or algorithm number."""
    cost: ClassVar[str]
    """A short text: what a step costs beside a joint step (one forward, one backward of the summed loss)."""

    def state_dict(self) -> dict[str, Any]:
        """Everything learnt so far: tensors, numbers, strings, nested dicts and lists only (no pickle needed)."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; the constructor's settings are not part of it.

        Raises ConfigError where a method without a state is handed one: it belongs to another method.
        """
        if state:
            raise ConfigError(
                f"{type(self).__name__} keeps no state; got one with {', '.join(state)}; load it into the method that wrote it"
            )

    def notes(self) -> list[str]:
        """What did not go as planned at the last call, one sentence each; empty when all went well. For the step's report."""
        return []


class Weigher(Balancer):
    """A method that answers with weights. `needs` is a class attribute, or set in the constructor where a setting decides it."""

    needs: frozenset[Need]

    @abc.abstractmethod
    def weigh(self, seen: Seen) -> Tensor:
        """Weights [T] (or [L, T]), finite, as the paper gives them; their common length is the engine's affair."""


class Combiner(Balancer):
    """A method that needs the gradients themselves."""

    at: ClassVar[Literal["features", "parameters"]]

    @abc.abstractmethod
    def combine(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """rows [T, N] -> [N]: the combined gradient. Random draws come from `generator`."""
