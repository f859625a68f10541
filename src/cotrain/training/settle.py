"""What tasks learn after training, from the validation rows and the outputs of the weights that are kept: thresholds, calibration.

This is the one place where it happens, for single and joint networks alike. The rows are those that chose when to stop; a network whose
stopping looked at them is a little kinder to them than to new rows, and the test rows are not touched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cotrain.core.spec import Settling, Task
from cotrain.model.compose import Model
from cotrain.training.evaluate import Gathered


def unsettled(task: Task) -> Task:
    """The task as it was before it learnt anything from validation rows."""
    return task.with_settled(None) if isinstance(task, Settling) and task.learnt is not None else task


def settled(task: Task, found: Gathered | None) -> tuple[Task, tuple[str, ...]]:
    """(the task with what these validation rows teach it, notes on what could not be had); no rows where `found` is None."""
    task = unsettled(task)
    if not isinstance(task, Settling) or not task.settles:
        return task, ()
    if found is None:
        return task, (
            f"task '{task.name}': there are no labelled validation rows, so its threshold and probabilities stay as they are; "
            "give data.split a share for valid",
        )
    made = task.settled(found.output, found.target, found.weight)
    return made, made.learnt.notes if isinstance(made, Settling) and made.learnt is not None else ()


def asks(model: Model) -> bool:
    """Whether any task of the model has something to learn from validation rows."""
    return any(isinstance(task, Settling) and task.settles for task in model.tasks.values())


def settle_(model: Model, gathered: Mapping[str, Gathered], *, but: Collection[str] = ()) -> list[str]:
    """Give every task of the model what it learns from gathered validation rows; notes on what could not be had.

    but: tasks that keep what they have learnt, if they have.
    """
    notes: list[str] = []
    for name, task in model.tasks.items():
        if name in but and isinstance(task, Settling) and task.learnt is not None:
            continue
        model.tasks[name], said = settled(task, gathered.get(name))
        notes += said
    return notes


def unsettle_(model: Model, *, but: Collection[str] = ()) -> None:
    """Take from every task what it learnt from validation rows, before it is trained again. but: tasks that are not trained."""
    for name, task in model.tasks.items():
        model.tasks[name] = task if name in but else unsettled(task)
