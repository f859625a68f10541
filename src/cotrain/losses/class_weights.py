"""Weights of classes: how much an element loss counts for each, with mean 1 over the training rows.

A class's weight multiplies the element loss of its rows and stays out of the count, so that L = (sum of weight x valid x c x element) /
(sum of weight x valid) obeys the rule of every loss. With mean 1 over the training rows the two ways of counting agree there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from cotrain.core.errors import ConfigError, DataError, unknown


def balanced(counts: Sequence[float]) -> tuple[float, ...]:
    """n / (C n_c) for every class: all classes then weigh the same together. counts: [C] rows of each, n their sum.

    A class without rows gets the weight 1, which no row will meet. Source: G. King and L. Zeng, Logistic Regression in Rare Events
    Data, 2001, section 4.2, scaled to mean 1 as in scikit-learn's `class_weight="balanced"`.

    >>> balanced([90, 10])
    (0.5555555555555556, 5.0)
    """
    total = sum(counts)
    return tuple(total / (len(counts) * count) if count else 1.0 for count in counts)


def named(
    weights: Mapping[str, float], classes: Sequence[str], counts: Sequence[float], where: str
) -> tuple[float, ...]:
    """[C] the weights that were given by label, scaled to mean 1 over the training rows; a class that is not named has 1 before that.

    counts: [C] training rows of each class; where they are not known (none), the weights stay as given. Raises DataError for a label
    that is no class.

    >>> named({"yes": 4.0}, ["no", "yes"], [2, 1], "task 'y'")
    (0.5, 2.0)
    """
    for label in weights:
        if label not in classes:
            raise DataError(f"{where}: class_weights: {unknown('label', label, list(classes))}")
    given = [float(weights.get(label, 1.0)) for label in classes]
    held = sum(counts)
    mean = sum(count * one for count, one in zip(counts, given, strict=True)) / held if held else 1.0
    return tuple(one / mean for one in given)


def weight_of_yes(labels: Tensor, weights: tuple[Any, Any]) -> Tensor:
    """c_no + (c_yes - c_no) t for labels t in [0, 1]: [N] or [N, C], with one pair of weights or one a column."""
    no, yes = (labels.new_tensor(one) for one in weights)
    return no + (yes - no) * labels


def check_class_weights(weights: Sequence[Any], classes: int | None = None) -> None:
    """Raises ConfigError unless there is a positive finite weight a class, two at least."""
    flat = [one for part in weights for one in (part if isinstance(part, Sequence) else (part,))]
    if len(weights) != (classes or max(len(weights), 2)) or not all(0 < one < math.inf for one in flat):
        wanted = f"{classes}" if classes else "one for each class"
        raise ConfigError(f"class_weights must be positive finite numbers, {wanted}, got {list(weights)}")


def check_smoothing(smoothing: float) -> None:
    """Raises ConfigError unless 0 <= smoothing < 1."""
    if not 0 <= smoothing < 1:
        raise ConfigError(f"smoothing must be at least 0 and below 1, got {smoothing}; a usual value is 0.1")
