"""An ensemble inside one network: each member learns every row, and their answers are averaged when predicting.

Shapes: M members, B rows. Outputs of an ensemble are member by member, [M * B, ...]: row b of member m lies at m * B + b.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor

from cotrain.core.fields import Field
from cotrain.core.spec import Task


def loss_of_members(
    task: Task, output: Tensor, target: Field, weight: Tensor | None, members: int
) -> tuple[Tensor, Tensor]:
    """(sum, count) of a task's loss, the mean over members: every member is shown the same targets, and the count stays that of B rows.

    output: [M * B, ...]. Source: Y. Gorishniy, A. Kotelnikov, A. Babenko, TabM, ICLR 2025, section 3 (mean of the members' losses).
    """
    if members == 1:
        return task.loss(output, target, weight)
    total, count = task.loss(output, repeated(target, members), None if weight is None else weight.repeat(members))
    return total / members, count / members


def repeated(target: Field, members: int) -> Field:
    """The rows of a field M times, one copy after the other."""
    return target if members == 1 else Field.cat([target] * members)


def averaged(task: Task, output: Tensor, members: int) -> Tensor:
    """[M * N, ...] -> [N, ...]: as the task's own `averaged(outputs [M, N, ...])` has it (probabilities), else the mean of outputs."""
    if members == 1:
        return output
    outputs = output.reshape(members, -1, *output.shape[1:])
    if hasattr(task, "averaged"):
        return cast(Tensor, cast(Any, task).averaged(outputs))
    return outputs.mean(0)
