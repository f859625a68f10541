"""Do the tasks' gradients agree? A look every so many steps, whatever the balancing method.

    cosine_ij   = G_ij / sqrt(G_ii G_jj)        conflict where it is negative
    affinity_ij = lr G_ij / L_j                 the first-order share of L_j that a plain step of length lr on task i alone takes away

G is the Gramian of the gradients on the shared part (`Engine.probe`). With an adaptive optimiser the step is another one; then affinity
orders pairs, and its size says little.

Source: C. Fifty et al., Efficiently Identifying Task Groupings for Multi-Task Learning, NeurIPS 2021, equation 1 to first order in lr.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cotrain.balance.engine import Engine
from cotrain.balance.gallery import BALANCERS
from cotrain.balance.protocol import Weigher
from cotrain.balance.report import Measurement
from cotrain.core.errors import UnsupportedError
from cotrain.model.compose import Model
from cotrain.training.lookahead import lookahead

Every = int | Literal["auto"] | None
At = Literal["engine", "features", "parameters", "lookahead"]


@dataclass(frozen=True)
class Look:
    """Where gradients are compared, and how often. every: steps between two looks. settled: steps before which they are `RARER` times as far apart:
    those looks count only where a training ends so early that there are no later ones.

    at: `features`, with respect to what the heads are given; `parameters`, those of the shared part; `lookahead`, by what a step on one
    task alone does to every loss (`lookahead`: a step's worth of work a task).
    """

    at: Literal["features", "parameters", "lookahead"] = "features"
    every: int = 10
    settled: int = 0


RARER = 5
"""So many times as many steps lie between two looks before a training has settled."""

SHARE = 50
"""A look costs about (T + 2) / 3 joint steps, so one in SHARE (T + 2) / 3 steps costs one step in SHARE: 2 %."""


class Diagnosis:
    """Looks before the backward pass of every n-th step, the first one included.

    every: n, "auto" for about 2 % of the time, None for never. Methods that need the Gramian bring it with each step and are not
    looked at again. look: where and how often instead; then the method's own Gramians are not counted, and `apart` is true. `note`: why there
    is none, if the network cannot be looked at.
    """

    def __init__(self, engine: Engine, every: Every, model: Model, look: Look | None = None) -> None:
        self.engine, self.model, tasks = engine, model, len(model.tasks)
        self.note: str | None = None
        self.apart = look is not None
        self.at: At = "engine" if look is None else look.at
        self.probe = engine if look is None else _prober(model, look)
        balancer = engine.balancer
        told = isinstance(balancer, Weigher) and bool(balancer.needs & {"gramian", "layer_gramians"})
        self.settled = 0 if look is None else look.settled
        if look is not None:
            self.every: int | None = look.every
        else:
            self.every = None if told else math.ceil(SHARE * (tasks + 2) / 3) if every == "auto" else every
        if tasks < 2:
            self.every = None

    @property
    def looks_ahead(self) -> bool:
        """Whether this step is one that will be repeated with every task's step made."""
        return self.at == "lookahead" and self.due

    @property
    def due(self) -> bool:
        """Whether the gradients of this step's losses will be compared."""
        if self.every is None:
            return False
        steps = self.engine.steps
        return not steps % (self.every * (RARER if steps < self.settled else 1))

    def look(
        self, losses: Mapping[str, Tensor], again: Callable[[], Mapping[str, Tensor]], lr: float
    ) -> Measurement | None:
        """The measurement of this step's losses if one is due, else None; the graph stays for the step itself.

        again: the same losses once more, of the network as it stands then. lr: of a step that looks ahead.
        """
        if not self.due or len(losses) < 2:
            return None
        try:
            if self.at == "lookahead":
                return lookahead(list(self.model.shared_parameters()), losses, again, lr)
            return self.probe.probe(losses)
        except UnsupportedError as error:
            self.every, self.note = None, f"gradients were not compared: {error}"
            return None


def _prober(model: Model, look: Look) -> Engine:
    """An engine over the model's shared part that is only asked to look."""
    plain = next(iter(BALANCERS.values()))()
    mode: Literal["features", "exact"] = "features" if look.at == "features" else "exact"
    return Engine(model.shared_parameters(), plain, mode=mode, tasks=list(model.tasks), network=model)
