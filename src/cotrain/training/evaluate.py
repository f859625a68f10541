"""Outputs gathered over batches, and what they score: no gradients, no dropout, nothing of the network changed.

Shapes: N values of a task over all batches (rows, or cells of ragged targets).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cotrain.core.fields import Batch, Field
from cotrain.core.randomness import untouched
from cotrain.core.spec import Task
from cotrain.model.compose import Model
from cotrain.training.feed import Batches, Feed

Scores = dict[str, dict[str, float]]
"""{task: {metric: value}}"""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything one task's scores are computed from, on the CPU: output [N, ...], target, weight [rows] or None."""

    output: Tensor
    target: Field
    weight: Tensor | None


def gather(
    model: Model,
    batches: Batches,
    *,
    ready: Callable[[Batch], Batch] | None = None,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> dict[str, Gathered]:
    """{task: Gathered} over all batches, as `model.predict` answers; rows without a target are left out.

    ready: brings a batch to the network's device (by default that of its first parameter). autocast: context of the forward pass.
    Dropout is off, and the network is left in the mode it was in. A task without a single target is absent.
    """
    parts: dict[str, list[Gathered]] = {}
    for batch, outputs in predictions(model, batches, ready=ready, autocast=autocast):
        for task, output in outputs.items():
            target = batch.targets.get(task)
            if target is not None:
                _keep(parts.setdefault(task, []), output, target, batch.weight)
    return {task: joined(found) for task, found in parts.items() if found}


ROWS_AT_ONCE = 4096
"""Rows scored at once; it changes nothing but speed and memory."""

NUMBERS_AT_ONCE = 1 << 20
"""So many numbers of pictures are given to a network at once, about: a convolutional net holds some hundred times as many."""


WORDS_AT_ONCE = 1 << 16
"""So many words of texts are given to a network at once at most: their features are some hundred numbers each."""


def rows_at_once(example: Batch, longest: int = 1) -> int:
    """How many rows like these are scored at once: fewer where they hold pictures, or texts of up to `longest` words.

    >>> from cotrain.core.fields import Field
    >>> rows_at_once(Batch({"photo": Field.dense(torch.zeros(1, 3, 32, 32))})), rows_at_once(Batch({"x": Field.dense(torch.zeros(1, 9))}))
    (341, 4096)
    """
    numbers = sum(one.values[0].numel() for one in example.inputs.values() if one.values.dim() > 2 and len(one.values))
    pictures = NUMBERS_AT_ONCE // numbers if numbers else ROWS_AT_ONCE
    return min(ROWS_AT_ONCE, max(8, min(pictures, WORDS_AT_ONCE // max(longest, 1))))


def predictions(
    model: Model,
    batches: Batches,
    *,
    ready: Callable[[Batch], Batch] | None = None,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterable[tuple[Batch, dict[str, Tensor]]]:
    """(batch, {task: output}) for every batch in turn, outputs in float32 or wider on the CPU."""
    if ready is None:
        device = next(model.parameters()).device
        ready = lambda batch: batch if device.type == "cpu" else batch.to(device)  # noqa: E731
    for step in Feed(batches, tasks=model.tasks, shuffle=False).epoch(0):
        for batch in step:
            training = model.training
            model.eval()
            try:
                with torch.no_grad(), autocast():
                    outputs = model.predict(ready(batch))
            finally:
                model.train(training)
            yield batch, {task: _wide(output) for task, output in outputs.items()}


def _wide(output: Tensor) -> Tensor:
    output = output.detach().cpu()
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _keep(parts: list[Gathered], output: Tensor, target: Field, weight: Tensor | None) -> None:
    target = target.to("cpu")
    weight = None if weight is None else weight.cpu()
    if target.offsets is None and not bool(target.present.all()):
        rows = target.present.nonzero().squeeze(1)
        output, target = output[rows], target.select(rows)
        weight = None if weight is None else weight[rows]
    if len(target.present):
        parts.append(Gathered(output, target, weight))


def joined(parts: list[Gathered]) -> Gathered:
    """Several parts as one, in order."""
    if len(parts) == 1:
        return parts[0]
    weight = None
    if any(part.weight is not None for part in parts):
        weight = torch.cat([torch.ones(len(part.target)) if part.weight is None else part.weight for part in parts])
    return Gathered(torch.cat([part.output for part in parts]), Field.cat([part.target for part in parts]), weight)


def scores(tasks: Mapping[str, Task], gathered: Mapping[str, Gathered]) -> Scores:
    """{task: {metric: value}} in the targets' units; NaN where a metric has no meaning on these rows."""
    return {
        task: dict(tasks[task].metrics.score(found.output, found.target, found.weight))
        for task, found in gathered.items()
    }


def evaluate(model: Model, batches: Batches) -> Scores:
    """{task: {metric: value}} of a network over all batches; tasks without targets there are absent.

    >>> import torch
    >>> from cotrain.encoders import MLP
    >>> from cotrain.model import Model
    >>> from cotrain.tasks import Regression
    >>> model = Model(encoder=MLP(widths=[4]), tasks=[Regression("age")])
    >>> rows = (torch.zeros(8, 2), {"age": torch.ones(8)})
    >>> sorted(evaluate(model, [rows]))
    ['age']
    """
    meet(model, batches)
    return scores(model.tasks, gather(model, batches))


def meet(model: Model, batches: Batches) -> None:
    """Let a network that is not built yet build itself from the first step of `batches`."""
    if not model.built:
        with untouched():
            for batch in Feed(batches, tasks=model.tasks, shuffle=False).peek(1)[0]:
                model.meet(batch)


def mean_losses(model: Model, gathered: Mapping[str, Gathered]) -> dict[str, float]:
    """{task: weight / scale x (all sums) / (all counts)} of gathered outputs, the same figure as in training."""
    scales = model.scales
    found: dict[str, float] = {}
    for name, one in gathered.items():
        task = model.tasks[name]
        total, count = task.loss(one.output, one.target, one.weight)
        if float(count) > 0:
            found[name] = float(total) / float(count) * task.weight / scales[name]
    return found
