"""What kinds of tasks share that keep what they know of the training rows in a codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar, cast

from cotrain.core.spec import Metrics
from cotrain.tasks.scores import error_of


class Fittable(Protocol):
    """A codec that says how many numbers a head must give and that is fitted on rows."""

    @property
    def outputs(self) -> int: ...

    def fit(self, frame: Any) -> Any: ...


C = TypeVar("C", bound=Fittable)
T = TypeVar("T", bound="Fitted[Any]")


class Fitted(ABC, Generic[C]):
    """A frozen task with a field `fitted`: the codec of the training rows, or None before it has seen them."""

    @abstractmethod
    def unfitted(self) -> C:
        """The codec as the settings alone make it."""

    @property
    @abstractmethod
    def metrics(self) -> Metrics:
        """How the task is scored."""

    @property
    def codec(self) -> C:
        """The codec, fitted if there is such a one."""
        return cast(C, getattr(self, "fitted", None)) or self.unfitted()

    @property
    def outputs(self) -> int:
        """How many numbers the head must give."""
        return self.codec.outputs

    def error(self, scores: dict[str, float]) -> float:
        """The primary error, lower is better."""
        primary = self.metrics.primary
        return error_of(primary, scores[primary])

    def with_codec(self: T, codec: C) -> T:
        """The same task with a codec that was fitted on the training rows."""
        return cast(T, replace(cast(Any, self), fitted=codec))

    def refitted(self: T, frame: Any) -> T:
        """The same task with a codec fitted on these rows (a frame that holds its columns)."""
        return self.with_codec(self.unfitted().fit(frame))
