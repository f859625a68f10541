"""The best constant prediction of every task: what losses are divided by, and what gains are measured against.

A task's constant minimises its own loss under its own weights on the training rows. A task without such a constant (its `reference`
is None) is scaled by the loss the untrained network has on the first batches, frozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cotrain.core.fields import Batch
from cotrain.core.spec import Task
from cotrain.model.compose import Model
from cotrain.training.evaluate import Gathered, Scores, joined, scores

LEAST_LOSS = 1e-8
"""Below this a constant is as good as perfect (one class, one value), and its loss scales nothing."""


@dataclass(frozen=True)
class Baseline:
    """outputs: {task: constant output [outputs]}, tasks without one absent. losses: {task: mean loss} of those constants on the
    training rows (for the other tasks that of the untrained network), without the task's own weight. steps: steps of one epoch.
    """

    outputs: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    steps: int | None = None

    def scales(self) -> dict[str, float]:
        """{task: what its loss is divided by}: the constant's loss, 1 where that is as good as 0."""
        return {task: loss if loss > LEAST_LOSS else 1.0 for task, loss in self.losses.items()}

    def scores(self, tasks: Mapping[str, Task], gathered: Mapping[str, Gathered]) -> Scores:
        """{task: {metric: value}} of the constants on gathered targets."""
        answers = {
            name: Gathered(constant(self.outputs[name], one), one.target, one.weight)
            for name, one in gathered.items()
            if name in self.outputs
        }
        return scores(tasks, answers)

    def state_dict(self) -> dict[str, Any]:
        return {"outputs": dict(self.outputs), "losses": dict(self.losses), "steps": self.steps}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> Baseline:
        """The inverse of `state_dict`."""
        return Baseline(dict(state["outputs"]), dict(state["losses"]), state["steps"])


def constant(output: Tensor, gathered: Gathered) -> Tensor:
    """The constant [outputs] as the answer for every value of a target: [N, outputs], in the dtype of the network's outputs."""
    values = len(gathered.target.values)
    wide = torch.promote_types(gathered.output.dtype, torch.float32)
    return output.to(wide).expand(values, *output.shape)


def constants(tasks: Mapping[str, Task], steps: Iterable[Sequence[Batch]]) -> Baseline:
    """The best constant of every task over the steps of one epoch; tasks without a label or without a constant are absent.

    Raises DataError for labels that cannot be their task's.

    Only targets and row weights are kept while going through the data.

    >>> from cotrain.core.fields import Field
    >>> from cotrain.tasks import Regression
    >>> rows = Batch({"x": Field.dense(torch.zeros(2, 1))}, {"age": Field.dense(torch.tensor([1.0, 3.0]))})
    >>> found = constants({"age": Regression("age")}, [[rows]])
    >>> found.outputs["age"].tolist(), found.losses["age"], found.steps
    ([2.0], 1.0, 1)
    """
    parts: dict[str, list[Gathered]] = {name: [] for name in tasks}
    count = 0
    for step in steps:
        count += 1
        for batch in step:
            for name, target in batch.targets.items():
                nothing = torch.empty(0, dtype=_float_of(target.values))
                parts[name].append(Gathered(nothing, target.to("cpu"), _cpu(batch.weight)))
    outputs: dict[str, Tensor] = {}
    losses: dict[str, float] = {}
    for name, found in parts.items():
        labels = joined(found) if found else None
        if labels is None or not bool(labels.target.held().any()):
            continue
        tasks[name].check(labels.target)
        output = tasks[name].reference(labels.target, labels.weight)
        if output is None:
            continue
        outputs[name] = output.detach().cpu().double()
        loss = _mean_loss(tasks[name], constant(outputs[name], labels), labels)
        if loss is not None:
            losses[name] = loss
    return Baseline(outputs, losses, count)


def first_losses(model: Model, steps: Sequence[Sequence[Batch]]) -> dict[str, float]:
    """{task: mean loss of the network as it is over these steps}, without weight and scale; tasks without a label absent."""
    totals: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in (batch for step in steps for batch in step):
                for name, (total, count) in model.totals(batch).items():
                    totals[name] = totals.get(name, torch.zeros(())) + total.double().cpu()
                    counts[name] = counts.get(name, torch.zeros(())) + count.double().cpu()
    finally:
        model.train(training)
    return {name: float(totals[name] / counts[name]) for name in totals if float(counts[name]) > 0}


def _mean_loss(task: Task, output: Tensor, labels: Gathered) -> float | None:
    total, count = task.loss(output, labels.target, labels.weight)
    return float(total) / float(count) if float(count) > 0 else None


def _float_of(values: Tensor) -> torch.dtype:
    return values.dtype if values.is_floating_point() else torch.float32


def _cpu(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.cpu()
