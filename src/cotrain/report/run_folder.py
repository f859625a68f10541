"""A run folder as typed values: what was trained, on what data, how it went, what came out. None is "not known"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from cotrain.report.lookup import Json
from cotrain.report.pictures import Gallery
from cotrain.report.tuned import Tuned

Scores: TypeAlias = Mapping[str, Mapping[str, float | None]]
"""{task: {metric: value}}"""


@dataclass(frozen=True)
class TaskInfo:
    """One task as it was built."""

    name: str
    kind: str | None = None
    columns: tuple[str, ...] = ()
    primary: str | None = None
    outputs: int | None = None
    weight: float | None = None
    head_parameters: int | None = None


@dataclass(frozen=True)
class Structure:
    """The network: tasks, the settings of its parts as JSON, parameter counts, layers that could not be stacked."""

    tasks: tuple[TaskInfo, ...]
    encoder: Json
    sharing: Json
    balance: Json
    parameters: int | None
    shared: int | None
    loops: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """One column of the table: the kind it was taken for, and why."""

    name: str
    kind: str | None
    why: str | None
    missing: int | None
    unique: int | None
    role: str | None
    note: str | None


@dataclass(frozen=True)
class Cleaning:
    """One thing cleaning did, with the number of cells or rows it touched."""

    step: str
    column: str | None
    count: int | None
    detail: str | None


@dataclass(frozen=True)
class DataReport:
    """The table, what became of it, and what looked wrong."""

    origin: str | None
    rows: int | None
    columns: tuple[Column, ...]
    cleaning: tuple[Cleaning, ...]
    splits: Mapping[str, int | None]
    method: str | None
    labels: Mapping[str, Mapping[str, Json]]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Epoch:
    """One line of the log. Training losses are divided by the loss of the best constant prediction, so 1 is that prediction.

    `affinity` {"a>b": the first-order share of b's loss that one plain step on a alone takes away}. `usage`: figures of the sharing.
    """

    epoch: float
    seconds: float | None
    lr: float | None
    losses: Mapping[str, float | None]
    valid: Scores
    valid_loss: Mapping[str, float | None]
    score: float | None
    weights: Mapping[str, float | None]
    cosines: Mapping[str, float | None]
    norms: Mapping[str, float | None]
    affinity: Mapping[str, float | None]
    skipped: int | None
    usage: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What a network costs. `seconds` is the time of training; FLOPs are for one row, forward."""

    parameters: float | None = None
    flops_per_row: float | None = None
    seconds: float | None = None
    peak_memory_mib: float | None = None
    rows_per_second: float | None = None


@dataclass(frozen=True)
class Learnt:
    """What a task learnt on the validation rows: its threshold and the kind of its calibration, where it has such; `before`: {split: scores}
    without both.
    """

    threshold: float | None
    calibration: str | None
    before: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Metrics:
    """Scores of the kept epoch for each split, and of the best constant prediction on the test split. `learnt`: by task."""

    best_epoch: float | None
    stopped: str | None
    notes: tuple[str, ...]
    splits: Mapping[str, Scores]
    constant: Scores
    cost: Cost
    higher_is_better: Mapping[str, Mapping[str, bool]]
    learnt: Mapping[str, Learnt] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """One way to learn the tasks: its primary scores by task and seed, and what it costs (all tasks together)."""

    name: str
    kind: str
    scores: Mapping[str, tuple[float | None, ...]]
    cost: Cost


@dataclass(frozen=True)
class Gain:
    """Relative reduction of a task's primary error against its single-task network, with its interval. .03 is 3 % less error."""

    variant: str
    task: str
    gain: float | None
    low: float | None
    high: float | None
    per_seed: tuple[float | None, ...]


@dataclass(frozen=True)
class Interval:
    """A value with its lower and upper end."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ComparedTask:
    """What a task is compared by."""

    name: str
    primary: str | None
    unit: str | None
    higher_is_better: bool | None


@dataclass(frozen=True)
class Comparison:
    """Did sharing help: the variants, their gains, and the verdict that was drawn from them.

    `delta_m` is a share (.01 is 1 %) with the lowest and highest seed; `cosines` {"a|b": mean} and `norm_ratio` are of the joint
    variant's gradients; `left_out` says why a variant is missing. `found` {variant: (groups of tasks, seconds)}
    that were found before its trainings.
    """

    seeds: tuple[str, ...]
    tasks: tuple[ComparedTask, ...]
    variants: tuple[Variant, ...]
    gains: tuple[Gain, ...]
    delta_m: Mapping[str, Interval]
    harmed: Mapping[str, tuple[str, ...]]
    worst: Mapping[str, str]
    verdict: str | None
    advice: str | None
    outcome: str | None
    cosines: Mapping[str, float | None]
    norm_ratio: float | None
    left_out: Mapping[str, str]
    found: Mapping[str, tuple[tuple[tuple[str, ...], ...], float | None]]


@dataclass(frozen=True)
class Pair:
    """Two tasks and the cosine between their gradients: the mean over the looks, and its standard error."""

    first: str
    second: str
    cosine: float
    error: float | None


@dataclass(frozen=True)
class Affinity:
    """Which tasks belong together. `at`: where gradients were compared; `predicted` {task: what the others of its group do for it}.

    `gains` {task: (all together, its group)}: shares of the error of the task alone that went away when the groups were trained, on the
    rows of `split`; empty where they were not.
    """

    at: str | None
    looks: int | None
    pairs: tuple[Pair, ...]
    groups: tuple[tuple[str, ...], ...]
    predicted: Mapping[str, float | None]
    gains: Mapping[str, tuple[float | None, float | None]]
    split: str | None
    verdict: str | None


@dataclass(frozen=True)
class RunFolder:
    """Everything the page is made of. `notes` says what could not be read."""

    name: str
    config: str | None
    structure: Structure | None
    environment: Mapping[str, str]
    seconds: float | None
    data: DataReport | None
    epochs: tuple[Epoch, ...]
    metrics: Metrics | None
    comparison: Comparison | None
    affinity: Affinity | None
    tuned: Tuned | None
    notes: tuple[str, ...]
    pictures: Gallery | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, from the first part of the folder that knows them."""
        if self.structure is not None and self.structure.tasks:
            return tuple(task.name for task in self.structure.tasks)
        if self.comparison is not None and self.comparison.tasks:
            return tuple(task.name for task in self.comparison.tasks)
        if self.metrics is not None:
            return tuple(dict.fromkeys(task for scores in self.metrics.splits.values() for task in scores))
        return tuple(dict.fromkeys(task for epoch in self.epochs for task in (*epoch.losses, *epoch.valid)))
