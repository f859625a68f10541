"""Running sums of one epoch: losses, weights, cosines and norms, without a look at a number before the epoch ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cotrain.balance.report import Measurement, Report


class _Sums:
    """Sums of tensors kept apart by the tasks they are of."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, tasks: tuple[str, ...], values: Tensor) -> None:
        key = "\x1f".join(tasks)
        held = self.sums.get(key)
        if held is None:
            self.sums[key], self.counts[key] = values.detach().double().clone(), 1
        else:
            held += values.detach()
            self.counts[key] += 1

    def parts(self) -> list[tuple[tuple[str, ...], Tensor, int]]:
        return [(tuple(key.split("\x1f")), value.cpu(), self.counts[key]) for key, value in self.sums.items()]

    def per_task(self) -> dict[str, float]:
        """{task: mean over the steps that had it}."""
        total: dict[str, float] = {}
        count: dict[str, int] = {}
        for tasks, values, times in self.parts():
            for task, value in zip(tasks, values.tolist(), strict=True):
                total[task] = total.get(task, 0.0) + value
                count[task] = count.get(task, 0) + times
        return {task: total[task] / count[task] for task in total}


class Tally:
    """What an epoch's line of the log is made of. Everything is in `state_dict`, so that a resumed epoch gives the same line."""

    KINDS = ("losses", "weights", "cosines", "squares", "norms", "affinity", "shares")

    def __init__(self) -> None:
        self.held = {kind: _Sums() for kind in self.KINDS}
        self.skipped = self.rows = self.steps = 0
        self.left_out: dict[str, int] = {}
        """For each task, of how many steps it was left out because its loss or gradient was not finite."""

    def add_losses(self, reports: Sequence[Report]) -> None:
        """Count the losses of one step: over its micro-batches (and processes) they add up."""
        if len(reports) == 1:
            self.held["losses"].add(reports[0].tasks, reports[0].losses)
            return
        total: dict[str, Tensor] = {}
        for report in reports:
            for task, loss in zip(report.tasks, report.losses, strict=True):
                total[task] = total[task] + loss if task in total else loss
        self.held["losses"].add(tuple(total), torch.stack(tuple(total.values())))

    def add_report(self, report: Report, lr: float, *, gramian: bool = True) -> None:
        """Count what the engine did with them, at this learning rate; with `gramian` its Gramian too."""
        applied = report.applied
        if applied is not None:
            self.held["weights"].add(report.tasks, applied.mean(0) if applied.dim() == 2 else applied)
        if gramian and report.gramian is not None:
            self.add_gramian(Measurement(report.tasks, report.losses, report.gramian), lr)

    def add_gramian(self, measured: Measurement, lr: float) -> None:
        """Count how the gradients of one step agree."""
        cosines, own = measured.cosines, measured.gramian.diagonal().clamp_min(1e-300)
        self.held["cosines"].add(measured.tasks, cosines)
        self.held["squares"].add(measured.tasks, cosines * cosines)
        self.held["shares"].add(measured.tasks, measured.gramian / own)
        self.held["norms"].add(measured.tasks, measured.norms)
        self.held["affinity"].add(measured.tasks, lr * measured.gramian / measured.losses.clamp_min(1e-12))

    def losses(self) -> dict[str, float]:
        """{task: mean loss so far}."""
        return self.held["losses"].per_task()

    def record(self) -> dict[str, Any]:
        """The part of the epoch's line that comes from training; what comes of Gramians is None where none was had.

        looks: of how many a pair's mean is. spread: the standard deviation of its cosine over them. affinity, shares: "a>b", what a step on
        a takes off b's loss, as a share of that loss, and of what a step on b itself takes off it (G_ab / G_bb).
        """
        return {
            "losses": self.losses(),
            "weights": self.held["weights"].per_task(),
            "cosines": self._pairs("cosines", "|") or None,
            "affinity": self._pairs("affinity", ">") or None,
            "shares": self._pairs("shares", ">") or None,
            "looks": self._looks() or None,
            "spread": self._spread() or None,
            "norms": self.held["norms"].per_task() or None,
            "skipped": self.skipped,
            "left_out": dict(self.left_out),
        }

    def _looks(self) -> dict[str, int]:
        """{"a|b": steps whose cosine was taken}."""
        count: dict[str, int] = {}
        for tasks, _, times in self.held["cosines"].parts():
            for i, first in enumerate(tasks):
                for second in tasks[i + 1 :]:
                    pair = f"{first}|{second}"
                    count[pair] = count.get(pair, 0) + times
        return count

    def _spread(self) -> dict[str, float]:
        """{"a|b": standard deviation of the cosine}."""
        means, squares = self._pairs("cosines", "|"), self._pairs("squares", "|")
        return {pair: max(squares[pair] - mean * mean, 0.0) ** 0.5 for pair, mean in means.items()}

    def _pairs(self, kind: str, sign: str) -> dict[str, float]:
        """{"a|b": mean} over the steps that had both: each pair once for a symmetric kind, in both directions for "a>b"."""
        total: dict[str, float] = {}
        count: dict[str, int] = {}
        for tasks, matrix, times in self.held[kind].parts():
            for i, first in enumerate(tasks):
                for j, second in enumerate(tasks):
                    if i < j or (sign == ">" and i != j):
                        pair = f"{first}{sign}{second}"
                        total[pair] = total.get(pair, 0.0) + float(matrix[i, j])
                        count[pair] = count.get(pair, 0) + times
        return {pair: total[pair] / count[pair] for pair in total}

    def state_dict(self) -> dict[str, Any]:
        return {
            "skipped": self.skipped,
            "left_out": dict(self.left_out),
            "rows": self.rows,
            "steps": self.steps,
            **{kind: {"sums": dict(one.sums), "counts": dict(one.counts)} for kind, one in self.held.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.skipped, self.rows, self.steps = state["skipped"], state["rows"], state["steps"]
        self.left_out = dict(state["left_out"])
        for kind, one in self.held.items():
            one.sums = {key: value.clone() for key, value in state[kind]["sums"].items()}
            one.counts = dict(state[kind]["counts"])
