"""The learning rate of every step, as a factor of its peak: a function of the step's number, so that nothing has to be kept."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer

from cotrain.core.errors import ConfigError
from cotrain.training.optimizer_settings import ScheduleSettings


def factor(settings: ScheduleSettings, step: float, total: int | None) -> float:
    """The factor for step `step` (from 0) of `total`; `total` may be None only where `needs_total` says so.

    >>> [round(factor(ScheduleSettings(name="cosine"), step, 4), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    steps = total or 1
    share = settings.warmup or (0.3 if settings.name == "one_cycle" else 0.0)
    rising = min(round(share * steps), steps - 1)
    if step < rising:
        if settings.name == "one_cycle":
            return 1 - (1 - 1 / 25) * _half_cosine(step / rising)
        return (step + 1) / rising
    if settings.name in ("constant", "plateau"):
        return 1.0
    progress = min((step - rising) / (steps - rising), 1.0)
    return settings.floor + (1 - settings.floor) * _half_cosine(progress)


FINE = 10**9
"""Steps of a training whose length only its time limit tells: every share of the time is one of them."""


def _half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def needs_total(settings: ScheduleSettings) -> bool:
    """Whether the number of all steps must be known beforehand."""
    return settings.name in ("cosine", "one_cycle") or settings.warmup > 0


class Schedule:
    """Sets the learning rate before each step. Only "plateau" remembers anything: its factor, its best score, its patience.

    peak: the rate that a factor of 1 stands for, of parameters in no group of their own. held: (share of the training from which the rate
    is held, the rate it is held at), or None. limited: a time limit holds, so that the share of time stands for that of steps where it is
    further, and the rate has fallen to its end when the time is up.
    Raises ConfigError if the schedule needs the number of all steps and nobody can know it.
    """

    def __init__(
        self,
        settings: ScheduleSettings,
        optimizer: Optimizer,
        total: int | None,
        *,
        peak: float | None = None,
        held: tuple[float, float] | None = None,
        limited: bool = False,
    ) -> None:
        self.settings, self.optimizer = settings, optimizer
        self.total = settings.steps or total
        if self.total is None and limited:
            self.total = FINE
        if self.total is None and needs_total(settings):
            raise ConfigError(
                f"schedule '{settings.name}' with warmup {settings.warmup:g} needs the number of steps, and this data has no length; "
                "set schedule.steps, or schedule: constant"
            )
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self.lowered, self.best, self.stale = 1.0, -math.inf, 0
        self.peak = self.peaks[0] if peak is None else peak
        self.held = held
        self.lr = self.peak

    def set(self, step: int, progress: float = 0.0, timed: float = 0.0) -> None:
        """Give the optimiser the rate of step `step` (counted over all epochs, from 0).

        progress: share of the training that is done; timed: that of the time limit, 0 without one.
        """
        if self.total == FINE:
            step = 0
        if self.held is not None and progress >= self.held[0]:
            scale = self.held[1] / self.peak
        else:
            scale = factor(self.settings, max(step, timed * (self.total or 0)), self.total) * self.lowered
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * scale
        self.lr = self.peak * scale

    def watched(self, score: float) -> None:
        """Show the watched score after an epoch (higher is better); lowers the rate of "plateau" when it has stalled."""
        if self.settings.name != "plateau":
            return
        if score > self.best:
            self.best, self.stale = score, 0
            return
        self.stale += 1
        if self.stale > self.settings.patience:
            self.lowered, self.stale = self.lowered * self.settings.factor, 0

    def state_dict(self) -> dict[str, Any]:
        return {"lowered": self.lowered, "best": self.best, "stale": self.stale, "lr": self.lr}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lowered, self.best, self.stale, self.lr = state["lowered"], state["best"], state["stale"], state["lr"]
