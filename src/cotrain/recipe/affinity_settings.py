"""The `affinity:` of a config: how it is found out which tasks belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cotrain.core.errors import ConfigError, unknown
from cotrain.search.grouping import Objective

Place = Literal["features", "parameters", "lookahead"]
At = Literal["auto"] | Place
By = Literal["cosine", "share"]


@dataclass(frozen=True)
class AffinitySettings:
    """What is compared while the joint network trains, and when it makes a group.

    at: gradients with respect to the shared `features` (next to no cost), to the shared `parameters`, or `lookahead`, by making a step on one
    task alone and taking it back (Fifty et al., NeurIPS 2021; a forward and a backward pass a task). `auto`: features, or parameters where tasks are
    of several sources or read different inputs: then no feature is common to two of them. every: steps between two looks.
    begin: the share of the epochs whose looks are left out: heads begin with random directions, and until they have turned to what they are for,
    gradients of kin are as foreign to each other as those of strangers.
    by: `cosine` of two gradients, or `share`, what a step on one task takes off another's loss over what a step on that one itself takes (not
    symmetric, and the longer gradient counts for more). groups: so many at most; None for as many as are best.
    objective: of the grouping, `sum` or `mean` (`cotrain.search.grouping`). margin: what the others must bring a task, on average, to be worth sharing with, in the unit of `by`; below it a difference is not told
    from none where networks are as large as they need be.
    """

    at: At = "auto"
    every: int = 10
    begin: float = 0.5
    by: By = "cosine"
    groups: int | None = None
    margin: float = 0.05
    objective: Objective = "sum"

    def __post_init__(self) -> None:
        for key, known in (
            ("at", ("auto", *get_args(Place))),
            ("by", get_args(By)),
            ("objective", get_args(Objective)),
        ):
            if getattr(self, key) not in known:
                raise ConfigError(f"affinity.{key}: " + unknown("word", str(getattr(self, key)), known))
        for key in ("every", "groups"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"affinity.{key}: a whole number of at least 1 is expected, got {value}")
        for key in ("margin", "begin"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                raise ConfigError(f"affinity.{key}: a number from 0 to below 1 is expected, got {value}")
