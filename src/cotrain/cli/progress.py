"""Shows a training on stderr: a live table on a terminal, else a quiet line now and then.

Per-task losses, the score (mean gain over the constant prediction on the validation rows), and the time left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cotrain.cli.messages import coloured, say, width

if TYPE_CHECKING:
    from cotrain.recipe.config import Config
    from cotrain.training.watch import Plan

EVERY = 5.0
"""Seconds between two lines where there is no terminal."""

REFRESH = 0.25
"""Seconds between two looks at the losses on a terminal."""


def spoken(seconds: float) -> str:
    """A length of time in words.

    >>> spoken(4.2), spoken(75), spoken(7300)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Pace:
    """How long is left, from the share of steps that are done."""

    def __init__(self, plan: Plan, now: float) -> None:
        self.plan = plan
        self.start = now
        self.first: float | None = None

    def left(self, epoch: int, step: int, now: float) -> float | None:
        """Seconds to the last epoch at the present pace, or to the time limit; early stopping may end it sooner. None if not known yet."""
        share = step / self.plan.steps if self.plan.steps else 0.0
        done = epoch - 1 + share
        self.first = min(done, self.first) if self.first is not None else self.plan.first_epoch - 1.0
        gone = done - self.first
        left = (self.plan.epochs - done) * (now - self.start) / gone if gone > 0 else None
        if self.plan.seconds is None:
            return left
        limit = max(self.plan.seconds - (now - self.start), 0.0)
        return limit if left is None else min(left, limit)


def say_found(plan: Plan) -> None:
    """A line about what was found where the config says "auto"; none where it says so nowhere."""
    words = {"lr": "learning rate", "batch_size": "batch size"}
    if plan.found:
        parts = [
            f"{words.get(key, key)} {value if isinstance(value, str) else format(value, '.3g')}"
            for key, value in plan.found.items()
        ]
        say("found: " + "; ".join(parts))


class QuietProgress:
    """A line at the start, one every few seconds, one at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.last = clock()
        self.pace: Pace | None = None
        self.plan: Plan | None = None
        self.kept = ""

    def started(self, plan: Plan) -> None:
        """Say what is about to happen."""
        self.plan, self.pace, self.last = plan, Pace(plan, self.clock()), self.clock()
        onwards = f", from epoch {plan.first_epoch}" if plan.first_epoch > 1 else ""
        say(
            f"training {len(plan.tasks)} task{'s' if len(plan.tasks) > 1 else ''} on {plan.device}, at most {plan.epochs} epochs{onwards}{f', {plan.purpose}' if plan.purpose else ''}"
        )
        say_found(plan)

    def stepped(self, epoch: int, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        """A line, if none was said for a while."""
        now = self.clock()
        if now - self.last >= EVERY and self.plan is not None:
            steps = f" step {step}" + (f"/{self.plan.steps}" if self.plan.steps else "")
            self.line(f"epoch {epoch}/{self.plan.epochs}{steps}  {_losses(losses())}", epoch, step, now)

    def ended_epoch(self, record: Mapping[str, Any]) -> None:
        """A line for the epoch, at once or at the end."""
        now = self.clock()
        self.kept = f"epoch {record['epoch']}{f'/{self.plan.epochs}' if self.plan else ''}  {_losses(record['losses'])}{_score(record)}"
        if now - self.last >= EVERY:
            self.line(self.kept, record["epoch"], self.plan.steps or 0 if self.plan else 0, now)
            self.kept = ""

    def ended(self, why: str) -> None:
        """Say how it ended."""
        if self.kept:
            say(self.kept)
        say(f"training ended: {why}")

    def line(self, text: str, epoch: int, step: int, now: float) -> None:
        """Write one line with the time left."""
        left = self.pace.left(epoch, step, now) if self.pace else None
        say(text + (f"  {spoken(left)} left" if left is not None else ""))
        self.last = now


class LiveProgress:
    """One live view: a bar over all epochs, a row a task, the score so far and the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self.clock = clock
        self.live = Live(
            console=Console(stderr=True, width=width(), no_color=not coloured(sys.stderr)),
            auto_refresh=False,
            transient=True,
        )
        self.plan: Plan | None = None
        self.pace: Pace | None = None
        self.valid: Mapping[str, Any] = {}
        self.record: Mapping[str, Any] = {}
        self.last = 0.0

    def started(self, plan: Plan) -> None:
        """Open the view."""
        self.plan, self.pace, self.valid, self.record = plan, Pace(plan, self.clock()), {}, {}
        if plan.purpose:
            say(f"first a training {plan.purpose}")
        say_found(plan)
        self.live.start()

    def stepped(self, epoch: int, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        """Draw anew, a few times a second."""
        now = self.clock()
        if now - self.last >= REFRESH:
            self.draw(epoch, step, losses(), now)

    def ended_epoch(self, record: Mapping[str, Any]) -> None:
        """Take the validation scores of the epoch."""
        self.record, self.valid = record, record.get("valid") or {}
        now = self.clock()
        if now - self.last >= REFRESH:
            self.draw(record["epoch"], self.plan.steps or 0 if self.plan else 0, record["losses"], now)

    def ended(self, why: str) -> None:
        """Close the view and leave one line."""
        self.live.stop()
        if self.record:
            say(f"epoch {self.record['epoch']}  {_losses(self.record['losses'])}{_score(self.record)}")
        say(f"training ended: {why}")

    def draw(self, epoch: int, step: int, losses: Mapping[str, float], now: float) -> None:
        """The view as it is now."""
        from rich import box
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self.plan is None:
            return
        self.last = now
        left = self.pace.left(epoch, step, now) if self.pace else None
        steps = f", step {step}/{self.plan.steps}" if self.plan.steps else f", step {step}"
        head = (
            f"epoch {epoch}/{self.plan.epochs}{steps}"
            + (f", {spoken(left)} left" if left is not None else "")
            + _score(self.record)
        )
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("task")
        table.add_column("training loss", justify="right")
        table.add_column("validation", justify="right")
        for task in self.plan.tasks:
            loss = losses.get(task)
            scores = self.valid.get(task) or {}
            first = next((f"{name} {value:.4g}" for name, value in scores.items() if value is not None), "-")
            table.add_row(Text(task), "-" if loss is None else f"{loss:.4f}", first)
        done = (epoch - 1) + (step / self.plan.steps if self.plan.steps else 0)
        bar = ProgressBar(total=self.plan.epochs, completed=done, width=min(60, width()))
        self.live.update(Group(Text(head), bar, table), refresh=True)


class Counted:
    """Says each of a known number of trainings with its number and, from the second round on, the time left."""

    def __init__(self, total: int, rounds: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.first_round = total, total // max(rounds, 1)
        self.clock = clock
        self.start = clock()
        self.done = 0

    def __call__(self, text: str) -> None:
        """Say that a training begins; an indented text is a remark and is not counted."""
        if text.startswith(" "):
            say(text)
            return
        spent = self.clock() - self.start
        known = self.done >= self.first_round
        left = f", about {spoken(spent / self.done * (self.total - self.done))} left" if known and self.done else ""
        self.done += 1
        say(f"{self.done}/{self.total}  {text}{left}")


def counted(config: Config) -> Counted:
    """Progress for `cotrain compare`: every variant once a seed."""
    settings = config.compare
    variants = 1 + settings.single + settings.boosting + len(settings.variants)
    return Counted(len(settings.seeds) * variants, len(settings.seeds))


def progress() -> LiveProgress | QuietProgress:
    """The view that fits where stderr goes."""
    return LiveProgress() if sys.stderr.isatty() else QuietProgress()


def _losses(losses: Mapping[str, float | None]) -> str:
    """Losses in one line; of more than six tasks the first five and the number of the others."""
    said = [f"{task} {loss:.4f}" for task, loss in losses.items() if loss is not None]
    return "  ".join(said if len(said) <= 6 else [*said[:5], f"and {len(said) - 5} more"])


def _score(record: Mapping[str, Any]) -> str:
    score = record.get("score")
    return f"  gain over the constant {score:+.3f}" if isinstance(score, float) else ""
