"""One training under way: all its parts, put together once, saved and restored as a whole."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from cotrain.balance.engine import Engine
from cotrain.core.errors import RunError
from cotrain.core.randomness import derive, layer_state, restore_layer_state, seed_layers
from cotrain.model.compose import Model
from cotrain.training.averaging import (
    STATISTICS_STEPS,
    Averaging,
    Latest,
    estimate_statistics_,
    lent,
    normalising,
)
from cotrain.training.baseline import Baseline, constants, first_losses
from cotrain.training.batch_finder import measure_sizes
from cotrain.training.checkpoint import Checkpoints, same_settings
from cotrain.training.clock import Clock
from cotrain.training.cost import PeakMemory
from cotrain.training.diagnose import Look
from cotrain.training.ema import EMA
from cotrain.training.feed import Feed
from cotrain.training.history import History, Log
from cotrain.training.lr_finder import STEPS as RANGE_STEPS
from cotrain.training.lr_finder import NoTimeError, range_test
from cotrain.training.optimise import NamedOptimizer
from cotrain.training.optimizer_settings import OptimizerSettings
from cotrain.training.place import Place
from cotrain.training.schedule import Schedule
from cotrain.training.schedule_free import ScheduleFreeAdamW, ScheduleFreeAverages
from cotrain.training.settings import AveragingSettings, TrainSettings
from cotrain.training.step import Step
from cotrain.training.still import still_tasks
from cotrain.training.stopping import Stopping
from cotrain.training.swa import SWA
from cotrain.training.tally import Tally
from cotrain.training.threads import threads_put_back, worth
from cotrain.training.warm_start import warm_start_

FREE = ("epochs", "time_limit", "checkpoint", "workers", "early_stopping")
"""Settings that may change when a training is resumed."""

FIRST_STEPS = 10
"""How many first steps stand for the data where it cannot be gone through beforehand, or where a task has no natural constant."""


FOR_SIZE, FOR_RATE = 0.05, 0.1
"""Shares of the time limit that finding a batch size and a learning rate may take."""


@dataclass
class Position:
    """Where a training stands: epochs finished, steps made in the one that runs, steps in all."""

    epoch: int = 0
    step: int = 0
    total: int = 0


def averaging_of(settings: AveragingSettings | None, model: Model, optimizer: NamedOptimizer) -> Averaging:
    """The weights a network is judged by and kept with."""
    if isinstance(optimizer.optimizer, ScheduleFreeAdamW):
        return ScheduleFreeAverages(optimizer.optimizer, optimizer.parameters)
    if settings is None:
        return Latest()
    if settings.name == "swa":
        return SWA(model, start=settings.begin)
    return EMA(model, decay=settings.decay, start=settings.begin, every=settings.every)


class Session:
    """Everything one call of `Trainer.fit` works with.

    The model is built if it was not, its losses are scaled, and the newest checkpoint is loaded where `resume` asks for it.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        place: Place,
        settings: TrainSettings,
        feed: Feed,
        valid: Feed | None,
        *,
        folder: Path | None,
        seed: int,
        resume: bool,
        baseline: Baseline | None,
        scored: int = 0,
        look: Look | None = None,
    ) -> None:
        self.clock = Clock(settings.limit, scored=scored)
        self.progress = 0.0
        """The share of the training that is done, by epochs or by time, whichever is further."""
        self.model, self.engine, self.place = model, engine, place
        self.asked = self.settings = settings
        """The settings as they were given, and with what was found for those that say "auto"."""
        self.feed, self.valid, self.folder, self.seed = feed, valid, folder, seed
        self.checkpoints, self.log = Checkpoints(folder), Log(folder if place.rank == 0 else None)
        if self.checkpoints.found() and not resume:
            raise RunError(
                f"folder {folder} holds a training already; resume it (resume=True), or choose another folder"
            )
        kept = self.checkpoints.latest() if resume else None
        self.history, self.at, self.tally = History(), Position(), Tally()
        self.stopping = Stopping(settings.early_stopping)
        self.best: dict[str, Any] | None = None
        self.threads: int | None = None
        self.kept_usage: dict[str, float] | None = None
        """The sharing's figures when the checkpoint was written, until a step gives new ones."""
        seed_layers(seed)
        if not model.built:
            for batch in feed.peek(1)[0]:
                model.meet(batch)
        self.still: frozenset[str] = frozenset()
        """Tasks that nothing of what is trained reaches."""
        self.fresh = self._begin(None if kept is None else kept[0])
        self.found: dict[str, float] = {} if kept is None else dict(kept[0]["found"])
        """What was found for settings that say "auto"; a resumed training keeps it."""
        if settings.batch_size == "auto":
            settings = self.settings = self._with_size(settings)
            baseline = None if baseline is None else replace(baseline, steps=None)
        if kept is not None:
            self.baseline = Baseline.from_state(kept[0]["baseline"])
        else:
            self.baseline = place.first(self._measured(baseline))
            if settings.loss_scale == "constant":
                model.set_scales(self.baseline.scales())
        place.take(model)
        place.alike_(model)
        model.train()
        if place.rank > 0:
            seed_layers(derive(seed, "rank", place.rank))
        if settings.optimizer.lr == "auto":
            settings = self.settings = self._with_lr(settings)
        self.optimizer = NamedOptimizer(model, settings.optimizer)
        self.averaging = averaging_of(settings.averaging, model, self.optimizer)
        held = None
        if settings.averaging is not None and settings.averaging.lr is not None:
            held = settings.averaging.begin, settings.averaging.lr
        self.schedule = Schedule(
            settings.schedule,
            self.optimizer.optimizer,
            self.steps_in_all,
            peak=settings.optimizer.peak,
            held=held,
            limited=settings.limit is not None,
        )
        self.step = Step(
            model,
            engine,
            self.optimizer,
            place,
            clip=settings.clip,
            patience=settings.patience_nonfinite,
            diagnose=settings.diagnose,
            look=look,
            mixup=settings.mixup,
            seed=seed,
        )
        if valid is None and settings.early_stopping is not None:
            self.history.notes.append("no validation rows: the last weights are kept, and nothing stops early")
        if valid is None and settings.schedule.name == "plateau":
            self.history.notes.append(
                "no validation rows: schedule 'plateau' watches nothing, so the rate stays as it is"
            )
        if kept is not None:
            self._restore(*kept)
        self.history.found = dict(self.found)
        self.log.restore(self.history.records)
        self.peak = PeakMemory(place.device)
        self.saved_at = time.monotonic()

    # -------------------------------------------------------------------------------------------------------- what is known before

    def _begin(self, kept: Mapping[str, Any] | None) -> list[str]:
        """Take the weights of an earlier run and freeze what is to stay; parameters that are trained though their part is frozen."""
        fresh: list[str] = [] if kept is None else list(kept["fresh"])
        if kept is None and self.settings.warm_start is not None:
            began = warm_start_(self.model, self.settings.warm_start)
            self.history.notes.append(began.note)
            fresh = list(began.new)
        if self.settings.freeze:
            self.model.freeze(*self.settings.freeze, but=fresh)
            self.still = still_tasks(self.model, self.feed.peek(1)[0])
            for task in sorted(self.still):
                self.history.notes.append(f"task '{task}' is not trained: everything it depends on is frozen")
        return fresh

    def _measured(self, given: Baseline | None) -> Baseline:
        """The best constants: those given, or over one pass through the training rows; the first steps stand for them where there is but one."""
        if given is not None:
            found = given
        elif self.feed.repeatable:
            found = constants(self.model.tasks, self.feed.epoch(0))
        else:
            found = constants(self.model.tasks, self.feed.peek(FIRST_STEPS))
            found = Baseline(found.outputs, found.losses, None)
            self.history.notes.append(
                f"data can be gone through once only: constants are those of its first {FIRST_STEPS} steps"
            )
        if self.settings.loss_scale == "constant" and any(name not in found.losses for name in self.model.tasks):
            first = first_losses(self.model, self.feed.peek(FIRST_STEPS))
            found = Baseline(found.outputs, {**first, **found.losses}, found.steps)
        return found

    def _some(self, share: float) -> float | None:
        """This share of the time limit in seconds; None without one."""
        return None if self.clock.limit is None else share * self.clock.limit

    def _with_size(self, settings: TrainSettings) -> TrainSettings:
        """The settings with a batch size, found now or in a training that goes on; the feed gives batches of it."""
        if "batch_size" not in self.found:
            probe = copy.deepcopy(self.model)
            self.place.take(probe)
            size = measure_sizes(probe, self.feed, settings, ready=self.place.ready, seconds=self._some(FOR_SIZE)).size
            self.found["batch_size"] = self.place.first(size)
        size = int(self.found["batch_size"])
        self.feed.resize(size)
        return replace(settings, batch_size=size)

    def _with_lr(self, settings: TrainSettings) -> TrainSettings:
        """The settings with a learning rate, found now or in a training that goes on."""
        if "lr" not in self.found:
            ready = [[self.place.ready(one) for one in step] for step in self.feed.peek(RANGE_STEPS)]
            with threads_put_back():
                torch.set_num_threads(worth(self.model, ready[0], settings.threads))
                try:
                    seconds = self._some(FOR_RATE)
                    lr = range_test(
                        self.model, ready, settings, seed=self.seed, autocast=self.place.autocast, seconds=seconds
                    ).lr
                except NoTimeError:
                    lr = OptimizerSettings().peak
                    self.history.notes.append(
                        f"optimizer.lr: auto had no time to find a rate within train.time_limit, so it is the default, {lr:g}"
                    )
            self.found["lr"] = self.place.first(lr)
        return replace(settings, optimizer=replace(settings.optimizer, lr=self.found["lr"]))

    @property
    def steps(self) -> int | None:
        """Steps of one epoch, or None if nobody knows."""
        micro = self.baseline.steps
        if micro is None:
            try:
                micro = len(self.feed)
            except TypeError:
                return None
        return -(-micro // self.settings.accumulate)

    @property
    def steps_in_all(self) -> int | None:
        """Steps of all epochs, or None if nobody knows."""
        return None if self.steps is None else self.steps * self.settings.epochs

    # ----------------------------------------------------------------------------------------------------------- what is judged

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Inside, the network holds the weights it is judged by and kept with; afterwards those that are trained, bit for bit."""
        averages = self.averaging.averages()
        if not averages:
            yield
            return
        with lent(self.model, averages):
            if not self.averaging.own_statistics and normalising(self.model):
                self._estimate_statistics()
            yield

    def _estimate_statistics(self) -> None:
        if not self.feed.repeatable:
            note = "data can be gone through once only: normalisation statistics are those of the weights in training"
            self.history.notes += [note] if note not in self.history.notes else []
            return
        steps = islice(self.feed.epoch(0), STATISTICS_STEPS)
        with self.place.autocast():
            estimate_statistics_(self.model, (self.place.ready(batch) for batches in steps for batch in batches))

    # --------------------------------------------------------------------------------------------------------------- time passes

    def look_ahead(self) -> None:
        """See how much of the training is done, before a step or at the end of an epoch."""
        within = self.at.step / self.steps if self.steps else 0.0
        self._look_at_clock()
        self.progress = max(min(1.0, (self.at.epoch + min(within, 1.0)) / self.settings.epochs), self.clock.share)

    def _look_at_clock(self) -> None:
        """Several processes look between two epochs only, and all believe the first."""
        clock = self.clock
        if clock.limit is None or (self.place.processes > 1 and self.at.step):
            return
        clock.look(self.history.rows + self.tally.rows, self.at.total)
        if self.place.processes > 1:
            clock.share, clock.out = self.place.first((clock.share, clock.out))

    def count_time(self) -> None:
        """Bring the history's seconds up to date."""
        self.history.seconds = self.clock.spent

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit leaves no further step."""
        self._look_at_clock()
        return self.clock.out

    # --------------------------------------------------------------------------------------------------------------- checkpoints

    def save_if_due(self, *, epoch_ended: bool = False) -> None:
        """Write a checkpoint if its settings say so; with several processes at the end of an epoch only, since all must take part."""
        if self.folder is None:
            return
        if self.place.processes > 1 and not epoch_ended:
            return
        when, passed = self.settings.checkpoint, time.monotonic() - self.saved_at
        due = epoch_ended and when.each_epoch and passed >= when.least_seconds
        due |= when.every_steps is not None and self.at.total % when.every_steps == 0
        due |= when.every_seconds is not None and passed >= when.every_seconds
        if self.place.first(due):
            self.save()

    def save(self) -> None:
        """Write a checkpoint; nothing without a folder."""
        self.count_time()
        if self.folder is None:
            return
        state = {name: part.state_dict() for name, part in self._parts().items()}
        layers = self.place.gathered(layer_state())
        if self.place.rank == 0:
            self._write(state, layers)
        self.place.wait()

    def _write(self, state: dict[str, Any], layers: list[dict[str, Any]]) -> None:
        """The checkpoint itself, which one process writes while the others wait."""
        state |= {"at": asdict(self.at), "layers": layers, "baseline": self.baseline.state_dict()}
        state["usage"] = self.model.usage() if self.kept_usage is None else self.kept_usage
        state["found"], state["fresh"] = dict(self.found), self.fresh
        state |= {"settings": asdict(self.asked), "seed": self.seed, "threads": self.threads}
        state["scaler"] = None if self.place.scaler is None else self.place.scaler.state_dict()
        self.checkpoints.save(self.at.total, state, self.best, self.stopping.best_step)
        self.saved_at = time.monotonic()

    def _parts(self) -> dict[str, Any]:
        """Everything that remembers something."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "engine": self.engine,
            "step": self.step,
            "stopping": self.stopping,
            "averaging": self.averaging,
            "tally": self.tally,
            "history": self.history,
            "clock": self.clock,
        }

    def _may_go_on(self, limit_then: float | None) -> bool:
        """Whether what ended the training before is no reason any more: more epochs, more time or more patience were given."""
        if self.at.epoch >= self.settings.epochs or self.stopping.enough:
            return False
        limit = self.clock.limit
        return self.history.stopped != "time limit" or limit is None or (limit_then is not None and limit > limit_then)

    def _restore(self, state: Mapping[str, Any], best: dict[str, Any] | None) -> None:
        same_settings({**state["settings"], "seed": state["seed"]}, {**asdict(self.asked), "seed": self.seed}, FREE)
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise RunError(
                f"the checkpoint is of another network: {error}; resume with the config it was started with"
            ) from error
        for name, part in self._parts().items():
            if name != "model":
                part.load_state_dict(state[name])
        if self.place.scaler is not None and state["scaler"]:
            self.place.scaler.load_state_dict(state["scaler"])
        self.at, self.best, self.kept_usage = Position(**state["at"]), best, dict(state["usage"])
        if self._may_go_on(state["clock"]["limit"]):
            self.history.stopped = None
        self.threads = state["threads"]
        restore_layer_state(state["layers"][self.place.rank])
