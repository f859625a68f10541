"""One step: label counts, losses, the balanced backward pass, a look whether all is finite, clipping, the optimiser.

A step is made of micro-batches, each a list of Batches (one a source). Label counts are summed over all of them first, so that
L_k = all sums / all counts, and a step in parts equals the step on the joined batch; over processes likewise, where each has its own
part of the rows and the engine adds up the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from cotrain.balance.engine import Engine
from cotrain.balance.report import Measurement, Report
from cotrain.core.errors import TrainingError
from cotrain.core.fields import Batch
from cotrain.core.randomness import generator, layer_state, restore_layer_state
from cotrain.core.together import one_pass
from cotrain.model.compose import Model
from cotrain.model.mixup import Mixing, draw_mixing
from cotrain.training.diagnose import Diagnosis, Every, Look
from cotrain.training.lookahead import buffers_aside
from cotrain.training.optimise import NamedOptimizer, shorten_, total_norm
from cotrain.training.place import Place
from cotrain.training.still import trained
from cotrain.training.tally import Tally

Window = Sequence[list[Batch]]
"""The micro-batches of one step."""


def labelled_rows(batches: Sequence[Batch], tasks: Iterable[str]) -> dict[str, Tensor] | None:
    """{task: [B] which rows have its label} where no row has two, as in tables put together from several; None otherwise.

    Per-task gradients of such tasks cost no more than one task's.
    """
    if len(batches) != 1:
        return None
    masks = {task: batches[0].targets[task].present for task in tasks}
    if len(masks) < 2 or int(torch.stack(tuple(masks.values())).sum(0).max()) > 1:
        return None
    return masks


class Step:
    """Makes steps. clip: largest length of the gradient, or None. patience: non-finite steps in a row that end the training.
    diagnose: steps between two looks at how the tasks' gradients agree, "auto" or None; look: where and how often instead. mixup: alpha of MixUp, or None; what it draws is
    a function of `seed` and of the engine's count of steps, which every checkpoint holds.

    A task whose loss or gradient is not finite is left out of its step, counted, and the others go on (`Engine`). A step that cannot be
    mended so (no task is left, the whole gradient is not finite, a factor of 16-bit precision is too large) changes nothing but its own
    count: no parameter, no moment of the optimiser.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        optimizer: NamedOptimizer,
        place: Place,
        *,
        clip: float | None,
        patience: int,
        diagnose: Every = None,
        look: Look | None = None,
        mixup: float | None = None,
        seed: int = 0,
    ) -> None:
        self.model, self.engine, self.optimizer, self.place = model, engine, optimizer, place
        self.diagnosis = Diagnosis(engine, diagnose, model, look)
        self.clip, self.patience, self.in_a_row = clip, patience, 0
        self.lost_in_a_row: dict[str, int] = {}
        """For how many steps in a row each task has been left out, of those that had labels of it."""
        self.mixup, self.seed = mixup, seed
        self.trouble: str | None = None
        self.compares = engine.balancer.family == "gradient"

    def __call__(self, window: Window, tally: Tally) -> bool:
        """One step, counted in `tally`; whether it changed the network.

        Raises TrainingError, with task and cause, when `patience` steps in a row were not finite, or left the same task out.
        """
        window = [[self.place.ready(batch) for batch in batches] for batches in window]
        tally.steps += 1
        tally.rows += sum(len(batch) for batches in window for batch in batches)
        reports, looks = self._backward(window)
        gradients = self.optimizer.gradients()
        if self.place.scaler is not None and gradients:
            self.place.scaler.unscale_(self.optimizer.optimizer)
        norm = float(total_norm(gradients)) if gradients else 0.0
        moved = False
        if any(report.step_skipped for report in reports) or not math.isfinite(norm):
            self._skip(window, reports, tally)
        elif gradients:
            moved = True
            self._lose(window, reports, tally)
            shorten_(gradients, norm, self.clip)
            self._update()
            tally.add_losses(reports)
            for report in reports:
                tally.add_report(report, self.optimizer.lr, gramian=not self.diagnosis.apart)
            for look in looks:
                tally.add_gramian(look, self.optimizer.lr)
            self.in_a_row = 0
        self.optimizer.clear()
        return moved

    def _backward(self, window: Window) -> tuple[list[Report], list[Measurement]]:
        """The gradient of all micro-batches in `.grad`; the engine's reports, and looks at the gradients."""
        counts = None
        if len(window) > 1 or self.place.processes > 1:
            counts = self.place.summed(self.model.counts(list(chain.from_iterable(window))))
        reports: list[Report] = []
        looks: list[Measurement] = []
        for batches in window:
            held = self.model.counts(batches)
            drawn = layer_state() if self.diagnosis.looks_ahead else None
            with self.place.autocast(), one_pass(self._goes_back_once(held)):
                losses = trained(self.model.losses(batches, held if counts is None else counts, self._mixings(batches)))
                penalty = self.model.penalty()
            if len(window) > 1 and self.place.processes == 1:
                # a task without a label here is absent, not a loss of zero
                losses = {task: loss for task, loss in losses.items() if float(held[task]) > 0}
            if penalty is not None:
                penalty = self.place.scaled({"penalty": penalty / (len(window) * self.place.processes)})["penalty"]
            again = partial(self._again, batches, counts, drawn)
            if (look := self.diagnosis.look(losses, again, self.optimizer.lr)) is not None:
                looks.append(look)
            scaled = self.place.scaled(losses)
            apart = self.compares and self.model.members == 1 and self.mixup is None
            rows = labelled_rows(batches, losses) if apart else None
            reports.append(self.engine.backward(scaled, penalty=penalty, rows=rows, loss_scale=self.place.loss_scale))
        return reports, looks

    def _goes_back_once(self, held: Mapping[str, Tensor]) -> bool:
        """Whether one product may stand for all tasks: nobody looks at one task's gradient, and every task has a label and is trained, so
        that what is its own is not moved by a gradient of zero where there should be none.
        """
        alike = not self.model.frozen and all(float(count) > 0 for count in held.values())
        return alike and self.engine.passes_once and not self.diagnosis.due

    def _again(
        self, batches: list[Batch], counts: dict[str, Tensor] | None, drawn: dict[str, Any] | None
    ) -> dict[str, Tensor]:
        """The losses of the same rows once more, under the same draws; no buffer (a running mean) is moved."""
        if drawn is not None:
            restore_layer_state(drawn)
        with self.place.autocast(), buffers_aside(self.model):
            return self.model.losses(batches, counts, self._mixings(batches))

    def _mixings(self, batches: list[Batch]) -> list[Mixing] | None:
        """How the rows of a micro-batch are mixed."""
        if self.mixup is None:
            return None
        draws = generator(self.seed, "mixup", self.place.rank, self.engine.steps)
        return [draw_mixing(batch, self.mixup, draws) for batch in batches]

    def _update(self) -> None:
        scaler = self.place.scaler
        if scaler is None:
            self.optimizer.step()
            return
        scaler.step(self.optimizer.optimizer)
        scaler.update()

    def _skip(self, window: Window, reports: list[Report], tally: Tally) -> None:
        scaler = self.place.scaler
        if scaler is not None:
            scaler.update(None if self.optimizer.gradients() else scaler.get_scale() * scaler.get_backoff_factor())
        tally.skipped += 1
        self.in_a_row += 1
        if self.trouble is None:
            self.trouble = self._cause(window, reports)
        if self.in_a_row >= self.patience:
            raise self._enough(f"{self.in_a_row} steps in a row were not finite", self._cause(window, reports))

    def _lose(self, window: Window, reports: list[Report], tally: Tally) -> None:
        """Count the tasks that were left out of a step that the others made."""
        lost = {task: reason for report in reports for task, reason in report.skipped.items()}
        for task in chain.from_iterable(report.tasks for report in reports):
            if task not in lost:
                self.lost_in_a_row.pop(task, None)
        for task, reason in lost.items():
            tally.left_out[task] = tally.left_out.get(task, 0) + 1
            self.lost_in_a_row[task] = self.lost_in_a_row.get(task, 0) + 1
            if self.lost_in_a_row[task] >= self.patience:
                steps = f"{self.lost_in_a_row[task]} steps in a row left task '{task}' out"
                raise self._enough(steps, self._strange_input(window) or f"task '{task}': {reason}")

    @staticmethod
    def _enough(what: str, why: str) -> TrainingError:
        return TrainingError(
            f"{what}, the last because {why}; "
            "lower train.optimizer.lr, check the data named here, or raise train.patience_nonfinite"
        )

    @staticmethod
    def _strange_input(window: Window) -> str | None:
        for batch in chain.from_iterable(window):
            for name, field in batch.inputs.items():
                if field.values.is_floating_point() and not bool(field.values.isfinite().all()):
                    return f"input '{name}' of source '{batch.source}' holds values that are not finite"
        return None

    def _cause(self, window: Window, reports: list[Report]) -> str:
        """What is not finite, nearest the source first: an input, a loss, a gradient; with its task."""
        if (strange := self._strange_input(window)) is not None:
            return strange
        for name, parameter in self.optimizer.parameters.items():
            if not bool(parameter.isfinite().all()):
                return f"parameter '{name}' is not finite"
        for report in reports:
            for task, reason in report.skipped.items():
                return f"task '{task}': {reason}"
        batches = list(chain.from_iterable(window))
        with torch.enable_grad(), self.place.autocast():
            losses = trained(self.model.losses(batches))
        for task, loss in losses.items():
            found = torch.autograd.grad(
                loss, list(self.optimizer.parameters.values()), retain_graph=True, allow_unused=True
            )
            for name, gradient in zip(self.optimizer.parameters, found, strict=True):
                if gradient is not None and not bool(gradient.isfinite().all()):
                    return f"task '{task}': its gradient at parameter '{name}' is not finite"
        return f"the gradient of {', '.join(losses) or 'the penalty'} is not finite"

    def state_dict(self) -> dict[str, Any]:
        return {"in_a_row": self.in_a_row, "lost_in_a_row": dict(self.lost_in_a_row)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.in_a_row, self.lost_in_a_row = state["in_a_row"], dict(state["lost_in_a_row"])
