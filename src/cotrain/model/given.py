"""Tasks that are defined only where another one holds: `bought` given `clicked`. The child is shown the logits of its parents.

A task says so by its attribute `given`, the name of a yes/no task. Its head answers the logit of P(child | parent); the outputs of its
parents stand beside it, [N, 1 + parents], nearest first, so that its loss can be that of the joint event and reaches the parents' heads too.
A task whose attribute `alone` is true stands without its parent and is shown nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, unknown
from cotrain.core.spec import Task

PARENTS = ("binary", "conditional")
"""Kinds of tasks that can be given: those whose output is the logit of a yes."""


def parent_of(task: Task) -> str | None:
    """The task this one is given, or None; None too where it stands alone."""
    return None if getattr(task, "alone", False) else getattr(task, "given", None)


def check_given(tasks: Mapping[str, Task], sources: Mapping[str, str | None]) -> None:
    """sources: {task: source, or None}. Raises ConfigError where a parent is unknown, no yes/no task, of another source, or its own descendant."""
    for name, task in tasks.items():
        parent, line = parent_of(task), [name]
        if parent is None:
            continue
        if parent not in tasks:
            raise ConfigError(
                f"task '{name}' is given " + unknown("task", parent, [one for one in tasks if one != name])
            )
        if tasks[parent].kind not in PARENTS:
            raise ConfigError(
                f"task '{name}' is given '{parent}', which is of kind '{tasks[parent].kind}'; "
                f"a yes/no task is expected ({' or '.join(PARENTS)})"
            )
        if sources[name] != sources[parent]:
            raise ConfigError(
                f"task '{name}' (source {sources[name]}) is given '{parent}' (source {sources[parent]}); both must have the same rows"
            )
        while parent is not None and parent in tasks:
            line.append(parent)
            if parent == name:
                raise ConfigError(f"tasks cannot be given each other in a circle: {' given '.join(line)}")
            if line.count(parent) > 1:
                break  # a circle further up, which its own members are told of
            parent = parent_of(tasks[parent])


def with_parents(tasks: Mapping[str, Task], wanted: Collection[str]) -> set[str]:
    """These tasks, their parents, theirs and so on."""
    found: set[str] = set()
    for name in wanted:
        one: str | None = name
        while one is not None and one not in found:
            found.add(one)
            one = parent_of(tasks[one])
    return found


def beside_parents(
    tasks: Mapping[str, Task], outputs: Mapping[str, Tensor], wanted: Collection[str]
) -> dict[str, Tensor]:
    """{task: its output}, with those of its parents as further columns where it is given one."""

    def whole(name: str) -> Tensor:
        parent = parent_of(tasks[name])
        return outputs[name] if parent is None else torch.cat([outputs[name], whole(parent)], 1)

    return {name: whole(name) for name in tasks if name in wanted and name in outputs}
