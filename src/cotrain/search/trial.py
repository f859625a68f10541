"""One trial of a study: what was tried and what came of it, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

State = Literal["waiting", "running", "complete", "pruned", "failed"]
FINISHED: frozenset[str] = frozenset({"complete", "pruned", "failed"})


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was tried under one number, and what came of it. Once finished it never changes.

    number: 0, 1, ...: one a trial, none twice. parameters: {parameter: value}, empty while none were proposed.
    state: "waiting" (asked for, not begun), "running", "complete" (has values), "pruned" (ended early, has intermediate values,
    or the values that break a bound),
    "failed" (has an error). values: {name: number}: everything that was measured, objectives and what constraints look at.
    intermediate: {step: value of the objective} while it ran. seconds: how long it took. seed: what the trial's own random numbers come
    from. worker: who ran it. attempt: 1, 2, ...: how often it was begun (a dead worker's trial is begun again). error: why it failed.
    """

    number: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    state: State = "running"
    values: Mapping[str, float] = field(default_factory=dict)
    intermediate: Mapping[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    seed: int = 0
    worker: str = ""
    attempt: int = 1
    error: str | None = None

    def __post_init__(self) -> None:
        if self.state not in get_args(State):
            raise ValueError(f"a trial's state is one of {', '.join(get_args(State))}, got {self.state!r}")

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINISHED

    def completed(self, values: Mapping[str, float], seconds: float = 0.0) -> Trial:
        """The trial with what was measured."""
        return replace(self, state="complete", values=dict(values), seconds=seconds)

    def to_json(self) -> dict[str, Any]:
        """Plain values; steps become words, as JSON has no other keys.

        >>> Trial.from_json(Trial(number=3, intermediate={1: 0.5}).to_json()).intermediate
        {1: 0.5}
        """
        return {
            "number": self.number,
            "parameters": dict(self.parameters),
            "state": self.state,
            "values": dict(self.values),
            "intermediate": {str(step): value for step, value in self.intermediate.items()},
            "seconds": self.seconds,
            "seed": self.seed,
            "worker": self.worker,
            "attempt": self.attempt,
            "error": self.error,
        }

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Trial:
        steps = {int(step): value for step, value in plain["intermediate"].items()}
        return Trial(**{**plain, "intermediate": steps})
