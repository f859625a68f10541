"""The loop: steps, epochs, validation. What each of them does lies in the file of its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cotrain.balance.engine import Engine
from cotrain.balance.gallery import BALANCERS
from cotrain.balance.protocol import Balancer
from cotrain.core.errors import ConfigError, DataError, TrainingError
from cotrain.core.fields import Batch
from cotrain.core.randomness import untouched
from cotrain.model.compose import Model
from cotrain.model.freezing import check_frozen
from cotrain.training.baseline import Baseline
from cotrain.training.batch_finder import size_for
from cotrain.training.checkpoint import copied
from cotrain.training.diagnose import Look
from cotrain.training.evaluate import Gathered, gather, mean_losses, scores
from cotrain.training.feed import Batches, Feed
from cotrain.training.history import History
from cotrain.training.interrupt import Interrupted, Interruption
from cotrain.training.place import Place
from cotrain.training.session import Session
from cotrain.training.settings import TrainSettings, settings_from
from cotrain.training.settle import asks, settle_, unsettle_
from cotrain.training.stopping import check_monitor, watched_score
from cotrain.training.tally import Tally
from cotrain.training.threads import threads_put_back, worth
from cotrain.training.watch import Plan, Silent, Watcher

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Trainer:
    """Trains a model on batches.

    model: built, or built from the first batch it meets. balancer: a method (the first of the gallery, the plain sum, without one); or engine: one ready to use.
    train: settings, or the mapping of their keys. folder: where log.jsonl and checkpoint/ are written; nothing is without it.
    seed: of initial values (of a model not yet built), dropout and shuffling. watcher: is told of progress. fabric: a Fabric of your
    own, launched already (its device and precision then win over those of `train`). scored: how many rows are scored after the training,
    whose time is kept free within `train.time_limit`. look: where gradients are compared and how often, in place of `train.diagnose`. With several processes each calls `fit` with its
    own part of the rows, as many batches as the others, and the same validation rows; the first writes the folder.

    >>> import torch
    >>> from cotrain.encoders import MLP
    >>> from cotrain.model import Model
    >>> from cotrain.tasks import Regression
    >>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
    >>> model = Model(encoder=MLP(widths=[8]), tasks=[Regression("double"), Regression("minus")])
    >>> history = Trainer(model, train={"epochs": 40, "batch_size": 16, "optimizer": {"lr": 0.02}}).fit((x, {"double": 2 * x, "minus": -x}))
    >>> history.records[-1]["losses"]["double"] < 0.2 * history.records[0]["losses"]["double"]
    True
    """

    def __init__(
        self,
        model: Model,
        *,
        balancer: Balancer | None = None,
        engine: Engine | None = None,
        train: TrainSettings | Mapping[str, Any] | None = None,
        folder: Path | str | None = None,
        seed: int = 0,
        watcher: Watcher | None = None,
        fabric: Fabric | None = None,
        scored: int = 0,
        look: Look | None = None,
    ) -> None:
        if balancer is not None and engine is not None:
            raise ConfigError("a trainer takes balancer= or engine=, got both; give the balancer to the engine")
        self.model, self.settings = model, settings_from(train)
        self.engine = engine or Engine(
            balancer=balancer or next(iter(BALANCERS.values()))(), tasks=list(model.tasks), network=model
        )
        self.folder = None if folder is None else Path(folder)
        self.seed, self.scored, self.look, self.watcher = seed, scored, look, watcher or Silent()
        self.place = Place(self.settings, fabric)
        check_monitor(self.settings.monitor, model.tasks)
        check_frozen(self.settings.freeze, list(model.tasks))

    def fit(
        self, batches: Batches, valid: Batches | None = None, *, resume: bool = False, baseline: Baseline | None = None
    ) -> History:
        """Train, and leave the model with the weights `keep` asks for; what happened, epoch by epoch.

        batches, valid: see `Feed`; validation rows choose the best epoch and when to stop. resume: go on from the newest checkpoint in
        the folder, or begin if there is none. baseline: the best constants, if they are known already.
        Raises Interrupted after Ctrl-C, when everything is saved; TrainingError if steps stay non-finite; DataError or ConfigError for
        data or settings that cannot work; RunError if the folder holds another training.
        """
        train, names = self.settings, self.model.tasks
        size = train.batch_size if isinstance(train.batch_size, int) else size_for(0)  # until it is found
        feed = Feed(batches, tasks=names, seed=self.seed, size=size, workers=train.workers)
        feed.once_more(train.epochs)
        seen = None if valid is None else Feed(valid, tasks=names, seed=self.seed, size=size, shuffle=False)
        if seen is not None:
            seen.once_more(train.epochs)
        with untouched(), Interruption(listen=self.place.processes == 1) as interruption:
            session = Session(
                self.model, self.engine, self.place, train, feed, seen,
                folder=self.folder, seed=self.seed, resume=resume, baseline=baseline, scored=self.scored,
                look=self.look,
            )  # fmt: skip
            unsettle_(self.model, but=session.still)
            at = session.at
            self.watcher.started(
                Plan(
                    tuple(names),
                    train.epochs,
                    session.steps,
                    at.epoch + 1,
                    at.step,
                    str(self.place.device),
                    None if train.limit is None else train.limit - session.clock.spent,
                    session.found,
                )
            )
            try:
                with threads_put_back():
                    if session.history.stopped is None:
                        session.history.stopped = run_epochs(session, self.watcher, interruption)
            except BaseException as error:
                self.watcher.ended("interrupted" if isinstance(error, KeyboardInterrupt) else "error")
                raise
            finish(session)
        self.watcher.ended(str(session.history.stopped))
        return session.history


def run_epochs(session: Session, watcher: Watcher, interruption: Interruption) -> str:
    """The loop itself; answers why it ended."""
    at, settings = session.at, session.settings
    settled = False
    if session.clock.limit is not None and session.valid is not None:
        keep_time_free(session, session.valid)
    session.clock.begin()
    for epoch in range(at.epoch, settings.epochs):
        for window in windows(session, epoch):
            if not settled:
                settled = settle_threads(session, window[0])
            session.look_ahead()
            session.schedule.set(at.total, session.progress, session.clock.share)
            if session.step(window, session.tally):
                session.averaging.stepped(session.progress)
            at.step, at.total = at.step + 1, at.total + 1
            watcher.stepped(epoch + 1, at.step, session.tally.losses)
            if interruption.asked:
                session.save()
                raise Interrupted(None if session.folder is None else str(session.folder), epoch + 1, at.total)
            if session.out_of_time:
                break
            session.save_if_due()
        record = end_epoch(session)
        watcher.ended_epoch(record)
        if session.out_of_time:
            return "time limit"
        if session.stopping.enough:
            return "early stopping"
        session.save_if_due(epoch_ended=True)
    return "epochs"


def settle_threads(session: Session, batches: list[Batch]) -> bool:
    """Set as many threads as steps like this one are worth; a resumed training keeps its number, since it decides the last bits."""
    if session.threads is None:
        ready = [session.place.ready(batch) for batch in batches]
        session.threads = worth(session.model, ready, session.settings.threads)
    torch.set_num_threads(session.threads)
    return True


def windows(session: Session, epoch: int) -> Iterator[list[list[Batch]]]:
    """The steps of an epoch that are still to make, each as its micro-batches."""
    accumulate = session.settings.accumulate
    micro = session.feed.epoch(epoch, skip=session.at.step * accumulate)
    while window := list(islice(micro, accumulate)):
        session.kept_usage = None
        yield window


def end_epoch(session: Session) -> dict[str, Any]:
    """Validate, choose the best weights, write the epoch's line and answer it."""
    tally, history, at = session.tally, session.history, session.at
    if not tally.steps:
        raise DataError(
            f"epoch {at.epoch + 1} brought no batch; data must be an iterable that can be gone through again"
        )
    at.epoch, at.step = at.epoch + 1, 0
    usage = session.model.usage() if session.kept_usage is None else session.kept_usage
    session.look_ahead()
    session.averaging.epoch_ended(session.progress)
    with session.clock.validation_timed(), session.judged():
        found = validate(session)
    session.count_time()
    record: dict[str, Any] = {
        "epoch": at.epoch,
        "step": at.total,
        "seconds": history.seconds,
        "lr": session.schedule.lr,
    }
    record |= {**tally.record(), **found, "usage": usage}
    history.rows += int(session.place.summed({"rows": torch.tensor(tally.rows)})["rows"])
    history.skipped += tally.skipped
    for task, times in tally.left_out.items():
        history.left_out[task] = history.left_out.get(task, 0) + times
    history.records.append(record)
    session.tally = Tally()
    session.log.append(record)
    return record


def outputs_of(session: Session) -> dict[str, Gathered]:
    """What the network answers on the validation rows; nothing where there are none."""
    if session.valid is None:
        return {}
    seen = 0

    def counted(epoch: int) -> Iterator[list[Batch]]:
        nonlocal seen
        for step in valid.epoch(epoch):
            seen += sum(len(batch) for batch in step)
            yield step

    valid = session.valid
    found = gather(session.model, counted, ready=session.place.ready, autocast=session.place.autocast)
    session.clock.validated = seen
    return found


def keep_time_free(session: Session, valid: Feed) -> None:
    """Time a validation before the first step, so that as long is kept free from the first epoch on; some rows before it, the first are slow."""
    first = gather(session.model, valid.peek(1), ready=session.place.ready, autocast=session.place.autocast)
    scores(session.model.tasks, first)
    if not session.clock.validation:
        with session.clock.validation_timed():
            scores(session.model.tasks, outputs_of(session))


def validate(session: Session) -> dict[str, Any]:
    """Scores on the validation rows; keeps the weights if they are the best so far."""
    if session.valid is None:
        return {"valid": None, "valid_loss": None, "score": None}
    model, history = session.model, session.history
    gathered = outputs_of(session)
    losses, reached = mean_losses(model, gathered), scores(model.tasks, gathered)
    if not history.constant:
        history.constant = session.baseline.scores(model.tasks, gathered)
    score = watched_score(session.settings.monitor, model.tasks, reached, history.constant, losses)
    score = session.place.first(score)
    if session.stopping.update(score, session.at.epoch, session.at.total):
        session.best = copied(model.state_dict())
    session.schedule.watched(score)
    return {"valid": reached, "valid_loss": losses, "score": score}


def finish(session: Session) -> None:
    """The last checkpoint, and the weights to keep."""
    session.count_time()
    history, best = session.history, session.best
    if history.skipped and history.skipped == session.at.total:
        raise TrainingError(
            f"none of the {history.skipped} steps was finite, the last because {session.step.trouble}, so nothing was learnt; "
            "check the data named here, and lower train.optimizer.lr"
        )
    if best is not None:
        history.best_epoch, history.best_score = session.stopping.best_epoch, session.stopping.best
    for task, times in history.left_out.items():
        history.notes.append(
            f"task '{task}' was left out of {times} of {session.at.total} steps, in which its loss or its gradient was not finite"
        )
    if session.step.diagnosis.note is not None:
        history.notes.append(session.step.diagnosis.note)
    history.peak_memory_mib = session.peak.mib()
    session.save()
    kept = best if session.settings.keep == "best" else None
    if kept is None and session.averaging.averages():
        with session.judged():
            kept = copied(session.model.state_dict())
    if kept is not None:
        session.model.load_state_dict(kept)
    session.model.eval()
    if asks(session.model):
        history.notes += [
            note for note in settle_(session.model, outputs_of(session), but=session.still) if note not in history.notes
        ]
