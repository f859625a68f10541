"""What every kind of task checks at the door: its name, columns, weight, metric, loss and head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cotrain.core.errors import ConfigError, unknown


def target_columns(name: str, columns: Sequence[str] | str | None, *, several: bool = False) -> tuple[str, ...]:
    """The target's columns: those given (a bare word is one), else the task's own name. Raises ConfigError for none, doubles, or too many.

    >>> target_columns("age", None), target_columns("size", ["height", "width"], several=True)
    (('age',), ('height', 'width'))
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"a task's name must be a word, got {name!r}; give for example Binary('income')")
    given = (name,) if columns is None else (columns,) if isinstance(columns, str) else tuple(columns)
    if not given or len(set(given)) < len(given) or not all(isinstance(column, str) for column in given):
        raise ConfigError(f"task '{name}': columns must be names, each once and at least one, got {list(given)}")
    if len(given) > 1 and not several:
        raise ConfigError(
            f"task '{name}': a target of classes is one column, got {list(given)}; make a task of each column"
        )
    return given


def check_settings(task: Any, *, known: tuple[str, ...]) -> None:
    """What is common to all kinds of task. known: the metrics of this one.

    Raises ConfigError, naming the task, for a weight that is no positive number, an unknown metric, a loss or head that is none.
    """
    name, weight = task.name, task.weight
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
        raise ConfigError(
            f"task '{name}': weight must be a positive finite number, got {weight!r}; leave a task out to give it no weight"
        )
    if task.metric is not None and task.metric not in known:
        raise ConfigError(unknown(f"metric of task '{name}'", str(task.metric), known))
    if not callable(task.loss):
        raise ConfigError(
            f"task '{name}': loss must be a function (output, target, weight) -> (sum, count), got {task.loss!r}; "
            f"a config names one of {', '.join(task.losses)}, Python hands in the function itself, from cotrain.losses or your own"
        )
    if task.head is not None and not hasattr(task.head, "build"):
        raise ConfigError(
            f"task '{name}': head must be settings with build(shapes, outputs), got {task.head!r}; for example MLPHead(widths=[64])"
        )
