"""The settings of a training: frozen values that check themselves.

Every class can be built from the mapping of its YAML keys (`settings_from`); a value out of range is refused when it is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from cotrain.core.errors import unknown
from cotrain.model.freezing import PARTS
from cotrain.training.durations import seconds_in
from cotrain.training.optimizer_settings import GroupSettings, OptimizerSettings, ScheduleSettings
from cotrain.training.refuse import SettingError, choice, idle, whole, within

DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["32", "64", "bf16", "16"]

_PRECISIONS: dict[str, PrecisionName] = {
    "32": "32", "32-true": "32", "64": "64", "64-true": "64", "bf16": "bf16", "bf16-mixed": "bf16", "16": "16", "16-mixed": "16",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AveragingSettings:
    """The weights a network is validated, chosen and kept with: an average of those it is trained with.

    name: "ema" (moving average: a <- d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)), of weights and normalisation statistics) or
    "swa" (plain mean over the ends of the last epochs; Izmailov et al., UAI 2018; statistics are estimated anew from training rows).
    start: share of the training before the average begins, in [0, 1); None is 0 for "ema" and .75 for "swa", as in their paper. Until
    then the weights themselves are judged.
    decay: of "ema", a step. every: steps between two looks of "ema" (each as if it were that many; 8 keeps it below 2 % of a step).
    lr: of "swa", the constant learning rate from `start` on, None to go on with the schedule.
    """

    name: Literal["ema", "swa"] = "ema"
    start: float | None = None
    decay: float = 0.999
    every: int = 8
    lr: float | None = None

    def __post_init__(self) -> None:
        choice("averaging", self.name, ("ema", "swa"))
        if self.start is not None:
            within("averaging.start", self.start, 0.0, 0.999)
        within("averaging.decay", self.decay, 0.0, 1 - 1e-9, open_low=True)
        whole("averaging.every", self.every, 1)
        if self.lr is not None:
            within("averaging.lr", self.lr, 0.0, open_low=True)
        idle("averaging", self, {"decay": ("ema",), "every": ("ema",), "lr": ("swa",)})

    @property
    def begin(self) -> float:
        """`start`, or its default."""
        return self.start if self.start is not None else 0.75 if self.name == "swa" else 0.0


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop when the watched score has not risen by more than `min_delta` for `patience` epochs in a row."""

    patience: int = 5
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        whole("early_stopping.patience", self.patience, 1)
        within("early_stopping.min_delta", self.min_delta, 0.0)


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """When everything is written, beside the end of the training.

    every_steps: after that many steps, or None. every_seconds: when that long has passed since the last one, or None.
    each_epoch: at the end of an epoch, unless the last one is younger than `least_seconds` (epochs of a table can take milliseconds,
    and nothing is lost but those seconds: a resumed run equals an uninterrupted one wherever it starts).
    """

    every_steps: int | None = None
    every_seconds: float | None = 60.0
    each_epoch: bool = True
    least_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.every_steps is not None:
            whole("checkpoint.every_steps", self.every_steps, 1)
        if self.every_seconds is not None:
            within("checkpoint.every_seconds", self.every_seconds, 0.0)
        within("checkpoint.least_seconds", self.least_seconds, 0.0)


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything under `train:` in a config.

    epochs, batch_size: at least 1; batch_size "auto" is doubled from 64 on as long as a tenth more rows a second come of it and an epoch
    keeps 40 steps (measured, so that it may differ from run to run; what was found is stored, and a resumed training keeps it). accumulate: micro-batches per step; label counts are summed first, so that a step equals the one
    on the joined batch. clip: largest length of the whole gradient, or None (default 1.0, as in Pascanu et al., ICML 2013, and common
    since). monitor: what stopping and the best checkpoint look at: "gain" (mean over tasks of the relative reduction of the primary
    error against the best constant prediction), "loss" (minus the summed validation loss), or a task's name (its own gain).
    keep: which weights the model ends with. loss_scale: "constant" divides each loss by that of the best constant prediction, "none"
    leaves it. device: "auto" takes a GPU where there is one. precision: "32", "64", "bf16" or "16" (mixed; "16" needs a GPU).
    workers: how many steps a thread beside the loop prepares ahead; 0 prepares them in the loop, and so do iterables of batches (a
    DataLoader has workers of its own). time_limit: seconds, or words such as 90s, 2m, 1h30m, or None; of
    the training from its first look at the rows to its last validation, the final scores included. The learning rate goes by time where
    that is further than by steps, so that it has fallen to its end when the time is up.
    patience_nonfinite: so many skipped steps in a row end the training with the task and the cause.
    mixup: alpha of Beta(alpha, alpha), above 0, or None: in training, rows and their targets are mixed with other rows of their batch
    (Zhang et al., ICLR 2018, where .1 to .4 did best), after the encoder's `embed`.
    averaging: judge and keep an average of the weights, or None for the weights themselves.
    diagnose: steps between two looks at how the tasks' gradients agree (cosines and affinity in the log); "auto" spends about 2 % of
    the time on them, None nothing.
    warm_start: the folder of a run (a relative path starts at the config's folder) whose weights are taken wherever name and shape agree,
    or None. Its inputs are then encoded and its tasks coded as they were there. freeze: parts that keep their values and stay in
    evaluation mode: encoder (what reads the inputs), sharing (the stages and what shares them), trunk (both), heads, heads.<task>. Beside
    warm_start, what the run did not have is trained all the same.
    threads: of the CPU; "auto" is one for steps so small that threads would only wait for each other, None what torch is set to.
    """

    epochs: int = 30
    batch_size: int | Literal["auto"] = 512
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    averaging: AveragingSettings | None = None
    early_stopping: EarlyStopping | None = field(default_factory=EarlyStopping)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    monitor: str = "gain"
    keep: Literal["best", "last"] = "best"
    loss_scale: Literal["constant", "none"] = "constant"
    clip: float | None = 1.0
    mixup: float | None = None
    accumulate: int = 1
    device: DeviceName = "auto"
    precision: str | int = "32"
    workers: int = 0
    time_limit: float | str | None = None
    patience_nonfinite: int = 20
    diagnose: int | Literal["auto"] | None = "auto"
    threads: int | Literal["auto"] | None = "auto"
    warm_start: str | None = None
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        whole("epochs", self.epochs, 1)
        if self.batch_size != "auto":
            whole("batch_size", self.batch_size, 1)
        whole("accumulate", self.accumulate, 1)
        whole("workers", self.workers, 0)
        whole("patience_nonfinite", self.patience_nonfinite, 1)
        choice("keep", self.keep, ("best", "last"))
        choice("loss_scale", self.loss_scale, ("constant", "none"))
        choice("device", self.device, get_args(DeviceName))
        if self.diagnose is not None and self.diagnose != "auto":
            whole("diagnose", self.diagnose, 1)
        if self.threads is not None and self.threads != "auto":
            whole("threads", self.threads, 1)
        object.__setattr__(self, "freeze", tuple(self.freeze))
        for name in self.freeze:
            if name.partition(".")[0] not in PARTS:
                raise SettingError("freeze: " + unknown("part of the network", name, [*PARTS, "heads.<task>"]))
        if self.mixup is not None:
            within("mixup", self.mixup, 0.0, open_low=True)
        if self.clip is not None:
            within("clip", self.clip, 0.0, open_low=True)
        if self.time_limit is not None:
            object.__setattr__(self, "time_limit", seconds_in("time_limit", self.time_limit))
        if self.optimizer.name == "schedule_free_adamw":
            self._refuse_beside_schedule_free()
        choice("precision", str(self.precision), tuple(_PRECISIONS))
        object.__setattr__(self, "precision", _PRECISIONS[str(self.precision)])

    @property
    def limit(self) -> float | None:
        """`time_limit` in seconds."""
        return None if self.time_limit is None else float(self.time_limit)

    def _refuse_beside_schedule_free(self) -> None:
        if self.schedule.name != "constant" or self.schedule.warmup:
            came = self.schedule.name if self.schedule.name != "constant" else f"warmup {self.schedule.warmup:g}"
            raise SettingError(
                f"schedule must be constant and without warmup beside optimizer schedule_free_adamw, got {came}; write "
                "`schedule: constant`, and optimizer.warmup_steps for a rise"
            )
        if self.averaging is not None:
            raise SettingError(
                f"averaging must be null beside optimizer schedule_free_adamw, which averages the weights itself, got {self.averaging.name}; "
                "take one of the two out"
            )


_NESTED: dict[str, type] = {
    "optimizer": OptimizerSettings,
    "schedule": ScheduleSettings,
    "averaging": AveragingSettings,
    "early_stopping": EarlyStopping,
    "checkpoint": CheckpointSettings,
}


def settings_from(train: TrainSettings | Mapping[str, Any] | None) -> TrainSettings:
    """Settings from the mapping of their YAML keys; a bare word stands for {name: word}.

    >>> settings_from({"epochs": 2, "optimizer": {"lr": 0.1}, "schedule": "constant"}).schedule.name
    'constant'

    Raises ConfigError naming an unknown key and the nearest known one.
    """
    if isinstance(train, TrainSettings):
        return train
    values: dict[str, Any] = {}
    for key, value in (train or {}).items():
        cls = _NESTED.get(key)
        if cls is not None and isinstance(value, str):
            value = {"name": value}
        values[key] = _built(cls, value, f"train.{key}") if cls is not None and isinstance(value, Mapping) else value
    settings: TrainSettings = _built(TrainSettings, values, "train")
    return settings


def _built(cls: type, values: Mapping[str, Any], path: str) -> Any:
    known = [one.name for one in dataclasses.fields(cls)]
    for key in values:
        if key not in known:
            raise SettingError(unknown(f"key under {path}", key, known))
    made = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if cls is OptimizerSettings and isinstance(made.get("groups"), tuple):
        groups = [(f"{path}.groups[{place}]", one) for place, one in enumerate(made["groups"])]
        made["groups"] = tuple(
            _built(GroupSettings, one, at) if isinstance(one, Mapping) else one for at, one in groups
        )
    return cls(**made)
