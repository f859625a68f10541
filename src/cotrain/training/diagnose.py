"""Do the tasks' gradients agree? A look every so many steps, whatever the balancing method.

    cosine_ij   = G_ij / sqrt(G_ii G_jj)        conflict where it is negative
    affinity_ij = lr G_ij / L_j                 the first-order share of L_j that a plain step of length lr on task i alone takes away

G is the Gramian of the gradients on the shared part (`Engine.probe`). With an adaptive optimiser the step is another one; then affinity
orders pairs, and its size says little.

Source: C. Fifty et al., Efficiently Identifying Task Groupings for Multi-Task Learning, NeurIPS 2021, equation 1 to first order in lr.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from cotrain.balance.engine import Engine
from cotrain.balance.protocol import Weigher
from cotrain.balance.report import Measurement
from cotrain.core.errors import UnsupportedError

Every = int | Literal["auto"] | None

SHARE = 50
"""A look costs about (T + 2) / 3 joint steps, so one in SHARE (T + 2) / 3 steps costs one step in SHARE: 2 %."""


class Diagnosis:
    """Looks before the backward pass of every n-th step, the first one included.

    every: n, "auto" for about 2 % of the time, None for never. Methods that need the Gramian bring it with each step and are not
    looked at again. `note`: why there is none, if the network cannot be looked at.
    """

    def __init__(self, engine: Engine, every: Every, tasks: int) -> None:
        self.engine = engine
        self.note: str | None = None
        balancer = engine.balancer
        told = isinstance(balancer, Weigher) and bool(balancer.needs & {"gramian", "layer_gramians"})
        self.every = None if told or tasks < 2 else math.ceil(SHARE * (tasks + 2) / 3) if every == "auto" else every

    def look(self, losses: Mapping[str, Tensor]) -> Measurement | None:
        """The measurement of this step's losses if one is due, else None; the graph stays for the step itself."""
        if self.every is None or self.engine.steps % self.every or len(losses) < 2:
            return None
        try:
            return self.engine.probe(losses)
        except UnsupportedError as error:
            self.every, self.note = None, f"gradients were not compared: {error}"
            return None
