"""The outputs of heads on one batch, each made once, by whoever asks first: the model, or a sharing in which tasks are told them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.naming import slot
from cotrain.core.signals import Signal
from cotrain.core.spec import Answer, Head, Task
from cotrain.model.members import averaged, repeated


class Answers:
    """targets: shown to heads while training; None otherwise. generate: whether heads answer for predictions."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        heads: Mapping[str, nn.Module],
        *,
        targets: Mapping[str, Field] | None,
        generate: bool,
    ) -> None:
        self.tasks, self.heads, self.targets, self.generate = tasks, heads, targets or {}, generate
        self._raw: dict[str, Tensor] = {}

    def raw(self, name: str, signals: Sequence[Signal]) -> Tensor:
        """What a task's head answers to its signals, [N, ...]; member by member."""
        if name not in self._raw:
            head = cast(Head, self.heads[slot(name)])
            if self.generate:
                self._raw[name] = head.generate(signals)
            else:
                target = self.targets.get(name)
                shown = None if target is None else repeated(target, signals[-1].members)
                self._raw[name] = cast(nn.Module, head)(signals, shown)
        return self._raw[name]

    def output(self, name: str, signals: Sequence[Signal]) -> Tensor:
        """The output of the model for a task: that of its head, members averaged where it is a prediction."""
        raw = self.raw(name, signals)
        return averaged(self.tasks[name], raw, signals[-1].members) if self.generate else raw

    def among(self, tasks: Collection[str]) -> Answer:
        """`told` for these tasks, which is all that their signals depend on; zeros for the others, whose signals are not used."""

        def answer(name: str, signals: Sequence[Signal]) -> Signal:
            if name in tasks:
                return self.told(name, signals)
            last = signals[-1]
            return Signal(last.values.new_zeros(len(last.values), self.tasks[name].outputs), members=last.members)

        return answer

    def told(self, name: str, signals: Sequence[Signal]) -> Signal:
        """The answer as numbers that other tasks are told, a vector signal [B, outputs]: as the task's own `told(output)` has it
        (chances of its classes), else the output itself (standardised numbers).

        Raises ConfigError for a task that does not answer one line of numbers a row.
        """
        raw, task, last = self.raw(name, signals), self.tasks[name], signals[-1]
        if raw.shape != (len(last.values), task.outputs):
            raise ConfigError(
                f"cascade.tell: other tasks can be told the answer of task '{name}' only if it is {task.outputs} numbers a row, and its head "
                f"answers {list(raw.shape)} for {len(last.values)} rows; write `tell: features`"
            )
        values = cast(Any, task).told(raw) if hasattr(task, "told") else raw
        return Signal(values, members=last.members)
