"""The loss of a class task with the task's own settings in it: class weights, label smoothing, focusing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.spec import Loss
from cotrain.losses.class_weights import balanced, named
from cotrain.tasks.labels import as_label

ClassWeights = Mapping[str, float] | str


@dataclass(frozen=True)
class Uncounted:
    """Stands for a loss whose class weights wait for the training rows. Raises ConfigError when it is called before."""

    task: str
    loss: Loss

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        raise ConfigError(
            f"task '{self.task}': class_weights need the classes of the training rows, which are not known yet; "
            "call task.refitted(frame), or give weights by label"
        )


def configured(
    task: str,
    loss: Loss,
    losses: Mapping[str, Loss],
    *,
    classes: Sequence[str],
    counts: Sequence[int],
    class_weights: ClassWeights | None = None,
    smoothing: float | None = None,
    gamma: float | None = None,
) -> Loss:
    """`loss` with these settings (None: as it is), and with class weights in the order of `classes`.

    classes, counts: of the training rows; empty where they are not known. Raises ConfigError for a setting the loss does not read or
    refuses, DataError for weights of labels that are no class.
    """
    loss = loss.loss if isinstance(loss, Uncounted) else loss
    given = {key: value for key, value in (("smoothing", smoothing), ("gamma", gamma)) if value is not None}
    for key in (*given, *(["class_weights"] if class_weights is not None else [])):
        if key not in _read_by(loss):
            reading = [word for word, one in losses.items() if key in _read_by(one)]
            raise ConfigError(
                f"task '{task}': {key} is read by the loss {' or '.join(reading) or 'of other kinds'}, "
                f"not by {_named(loss, losses)}; take it out, or change the loss"
            )
    try:
        made = cast(Loss, dataclasses.replace(cast(Any, loss), **given)) if given else loss
        if class_weights is None:
            return made
        weights = _checked(class_weights)
        if (isinstance(weights, str) and not counts) or (isinstance(weights, Mapping) and not classes):
            return Uncounted(task, made)
        each = balanced(counts) if isinstance(weights, str) else named(weights, classes, counts, f"task '{task}'")
        return cast(Loss, dataclasses.replace(cast(Any, made), class_weights=each))
    except ConfigError as error:
        raise ConfigError(f"task '{task}': {error}") from None


def _checked(weights: object) -> ClassWeights:
    if weights == "balanced":
        return "balanced"
    if not isinstance(weights, Mapping) or not weights:
        raise ConfigError(f"class_weights must be 'balanced' or weights by label, got {weights!r}")
    if not all(isinstance(one, int | float) and 0 < one < math.inf for one in weights.values()):
        raise ConfigError(f"class_weights must be positive finite numbers, got {dict(weights)}")
    return {as_label(label): float(one) for label, one in weights.items()}


def _read_by(loss: object) -> set[str]:
    """The settings a loss has: the fields of its dataclass; none for a plain function."""
    return {one.name for one in dataclasses.fields(loss)} if dataclasses.is_dataclass(loss) else set()


def _named(loss: object, losses: Mapping[str, Loss]) -> str:
    return next((word for word, one in losses.items() if type(one) is type(loss)), "a loss of your own")
