"""What a training tells whoever watches it. Nothing below the command line prints; a watcher draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Plan:
    """What is about to happen. epochs: the most there can be. steps: of one epoch, None if unknown. first_epoch, first_step: where a
    resumed training goes on (epoch from 1, steps of it done). seconds: the most it may take from here, None without a time limit.
    found: {setting: what was found where it said "auto"}, numbers or words. purpose: what it is for, where it only prepares the training asked for.
    """

    tasks: tuple[str, ...]
    epochs: int
    steps: int | None
    first_epoch: int = 1
    first_step: int = 0
    device: str = "cpu"
    seconds: float | None = None
    found: Mapping[str, float | str] = field(default_factory=dict)
    purpose: str = ""


class Watcher(Protocol):
    """Called from the loop; must be quick."""

    def started(self, plan: Plan) -> None: ...

    def stepped(self, epoch: int, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        """After step `step` (from 1) of epoch `epoch` (from 1). `losses()` gives the epoch's mean losses so far, and costs a look."""

    def ended_epoch(self, record: Mapping[str, Any]) -> None:
        """With the epoch's line of log.jsonl."""

    def ended(self, why: str) -> None:
        """Training is over: "epochs", "early stopping", "time limit", "interrupted" or "error"."""


class Silent:
    """Watches and says nothing."""

    def started(self, plan: Plan) -> None: ...

    def stepped(self, epoch: int, step: int, losses: Callable[[], Mapping[str, float]]) -> None: ...

    def ended_epoch(self, record: Mapping[str, Any]) -> None: ...

    def ended(self, why: str) -> None: ...
