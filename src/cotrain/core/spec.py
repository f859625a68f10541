"""The contracts between the rooms, as protocols and plain values.

Settings objects (an encoder, a sharing, a head) are frozen values that know nothing of the data; `build(...)` is given what comes
from the data and answers an `nn.Module`. A user's own `nn.Module` class may stand for such an object: it is then called with the
same positional arguments and the settings as keywords.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal, TaskSignals

# ------------------------------------------------------------------------------------------------------------- inputs


@dataclass(frozen=True)
class FieldSpec:
    """What an encoder may know of one input before it sees a row.

    kind: "number" (values [B, C] float; `valid` is False where a filler stands for a missing cell), "category" (values [B, C] int64),
    "bag" (values [B, C] float: weights of words, mostly 0), "image" (values [B, C, H, W], uint8 of 0 to 255 or float of 0 to 1),
    "tokens" (ragged int64; `offsets` says where each row's begin) ...
    names: one a column. cardinalities: for categories, how many codes each column has (0 is "unseen or missing"); for tokens the one
    size of the vocabulary (0 is an unknown token, 1 stands for nothing and is free for an encoder's own marks).
    vocabulary: for tokens, a word for whose codes they are: inputs of the same vocabulary mean the same by the same code.
    shape: the shape of one value, without the row axis. mean, std: for images, of each channel of the training rows, in 0 to 1.
    quantiles: for numbers, one rising tuple a column: quantiles of its values in the training rows, as they stand in the field, equal
    ones once (65 at most, from the smallest to the largest); empty where they are not known.
    group: the input of the config that the field belongs to, where several inputs are fused; else empty.
    """

    kind: str
    names: tuple[str, ...] = ()
    cardinalities: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    quantiles: tuple[tuple[float, ...], ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    group: str = ""
    vocabulary: str = ""


InputSpec = Mapping[str, FieldSpec]


# ------------------------------------------------------------------------------------------------------------ network


class Encoder(Protocol):
    """An `nn.Module` that maps a source's fields into the shared space and holds the stages that are shared.

    `stages`: an `nn.ModuleList`, each Signal -> Signal. `shapes`: after `embed`, then after each stage (len(stages) + 1).
    No pooling inside: that is the head's affair.
    """

    stages: nn.ModuleList
    shapes: Sequence[Shape]

    def embed(self, fields: Mapping[str, Field]) -> Signal: ...


class EncoderSettings(Protocol):
    """`width`: where several sources meet, embed ends in W x + b of that width, so that all share the same stages."""

    name: ClassVar[str]

    def build(self, inputs: InputSpec, width: int | None = None) -> nn.Module: ...


class Sharing(Protocol):
    """An `nn.Module` that owns the stages and answers each task's signals.

    `shapes`: {task: [Shape per returned signal]}. `penalty`: a scalar added to the objective that belongs to no task, or None.
    `usage`: figures worth logging (how evenly experts are used ...), of the last forward.
    """

    shapes: Mapping[str, Sequence[Shape]]

    def forward(self, signal: Signal) -> TaskSignals: ...

    def penalty(self) -> Tensor | None: ...

    def usage(self) -> Mapping[str, float]: ...


Answer = Callable[[str, Sequence[Signal]], Signal]
"""answer(task, its signals): what the task's head answers, as a vector signal [B, outputs] of what other tasks may be told."""


@runtime_checkable
class ReadsAnswers(Protocol):
    """A Sharing in which tasks read what other tasks predict, so that heads run in between: its forward is `forward(signal, answer)`.

    reads: {task: tasks whose answers it reads}; empty where none does, and `answer` is then not given. meet(outputs): {task: how many
    numbers it answers}, called once after `build`.
    """

    @property
    def reads(self) -> Mapping[str, tuple[str, ...]]: ...

    def meet(self, outputs: Mapping[str, int]) -> None: ...


class SharingSettings(Protocol):
    """`build(stages, shapes, tasks)`: the encoder's stages, its shapes (embed first) and the tasks' names."""

    name: ClassVar[str]

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> nn.Module: ...


Wants = Literal["vector", "sequence", "map", "pyramid"]


class Head(Protocol):
    """An `nn.Module` for one task. It owns the pooling; `signals` are the task's signals per stage, the last one last.

    `forward(signals, target)`: `target` is given while training, for heads that need it (teacher forcing); others ignore it.
    `generate(signals)`: the output used for predictions.
    """

    wants: Wants

    def forward(self, signals: Sequence[Signal], target: Field | None = None) -> Tensor: ...

    def generate(self, signals: Sequence[Signal]) -> Tensor: ...


class HeadSettings(Protocol):
    """`build(shapes, outputs)`: shapes of the task's signals per stage, and how many numbers the task needs."""

    name: ClassVar[str]

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module: ...


# --------------------------------------------------------------------------------------------------------------- tasks


class Loss(Protocol):
    """`loss(output, target, weight) -> (sum, count)`: sum of weight x valid x element loss, and sum of weight x valid.

    output: what the head answered, [N, ...] aligned with `target.values`. Every loss is >= 0 and 0 at a perfect answer.
    """

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]: ...


class Codec(Protocol):
    """Turns a target's columns into a Field and back; fitted on the training split only; stored as JSON.

    A "frame" is the table type of the data room (a polars DataFrame) holding just this task's columns; this floor does not look inside.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> int: ...

    def fit(self, frame: Any) -> Codec: ...

    def encode(self, frame: Any) -> Field: ...

    def to_json(self) -> dict[str, Any]: ...

    @staticmethod
    def from_json(stored: dict[str, Any]) -> Codec: ...


class Metrics(Protocol):
    """`score(output, target, weight)`: {metric: value} on gathered outputs, in the target's units; NaN where it has no meaning."""

    @property
    def primary(self) -> str: ...

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]: ...

    def higher_is_better(self, metric: str) -> bool: ...


@runtime_checkable
class Task(Protocol):
    """One thing to predict: a frozen dataclass of values. A new kind of task is one file in `tasks/`.

    outputs: how many numbers the head must give per value; 0 while the codec is unfitted and the number is not known.
    weight: the user's own factor on the loss. head: settings, or None for the kind's own default.
    error(scores): the primary error, lower is better, from the task's scores.
    decode(output): {column: values} for predictions (probabilities, classes, numbers in the target's units).
    reference(target, weight): the best constant output [outputs] under this task's own loss and weights, or None if there is none.
    check(target): raises DataError if the values of a target cannot be this task's (labels out of range ...).
    with_codec(codec): the same task with a codec that was fitted on the training rows, or read back from JSON.
    """

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def codec(self) -> Codec: ...

    @property
    def outputs(self) -> int: ...

    @property
    def head(self) -> HeadSettings | None: ...

    @property
    def loss(self) -> Loss: ...

    @property
    def metrics(self) -> Metrics: ...

    def error(self, scores: dict[str, float]) -> float: ...

    def decode(self, output: Tensor) -> dict[str, Any]: ...

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None: ...

    def check(self, target: Field) -> None: ...

    def with_codec(self, codec: Any) -> Task: ...


@runtime_checkable
class Headed(Protocol):
    """A task whose own default is a form around whatever head the network gives to tasks that bring none."""

    def headed(self, head: HeadSettings) -> HeadSettings: ...


class Learnt(Protocol):
    """What a task learnt on validation rows: plain JSON, and notes on what was asked for and could not be had."""

    @property
    def notes(self) -> tuple[str, ...]: ...

    def to_json(self) -> dict[str, Any]: ...


@runtime_checkable
class Settling(Protocol):
    """A task that learns something from the validation rows once its network is trained: a decision threshold, a calibration.

    settles: whether its settings ask for anything. learnt: what was learnt, None before. settled(output, target, weight): the task with
    what these rows say; its metrics and `decode` then use it, its loss does not. with_settled(learnt): with what was stored, or nothing.
    """

    @property
    def settles(self) -> bool: ...

    @property
    def learnt(self) -> Learnt | None: ...

    def settled(self, output: Tensor, target: Field, weight: Tensor | None) -> Task: ...

    def with_settled(self, learnt: Any) -> Task: ...
