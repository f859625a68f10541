"""The settings of the optimiser and of its learning rate over time: frozen values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cotrain.core.errors import ConfigError
from cotrain.training.refuse import SettingError, choice, idle, whole, within

OptimizerName = Literal["adamw", "sgd", "schedule_free_adamw"]
ScheduleName = Literal["constant", "cosine", "one_cycle", "plateau"]


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """Parameters that are treated apart.

    parameters: a pattern on their names, such as "heads.*", "heads.income.*" or "*.bias" (`*` and `?` stand for any text and any sign);
    the first group that matches has a parameter. lr: their peak learning rate; or lr_factor: the same as a multiple of `optimizer.lr`.
    weight_decay: on everything that matches, biases and norms too if the pattern names them. What is left out is as for all others.
    """

    parameters: str
    lr: float | None = None
    lr_factor: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, str) or not self.parameters:
            raise SettingError(
                f"optimizer.groups.parameters must be a pattern of names, got {self.parameters!r}; for example 'heads.*'"
            )
        if self.lr is not None:
            within("optimizer.groups.lr", self.lr, 0.0, open_low=True)
        if self.lr_factor is not None:
            within("optimizer.groups.lr_factor", self.lr_factor, 0.0, open_low=True)
        if self.weight_decay is not None:
            within("optimizer.groups.weight_decay", self.weight_decay, 0.0)
        if self.lr is not None and self.lr_factor is not None:
            raise SettingError(
                f"optimizer.groups.lr_factor stands for lr, got both for '{self.parameters}'; keep one of them"
            )
        if self.lr is None and self.lr_factor is None and self.weight_decay is None:
            raise SettingError(
                f"optimizer.groups.parameters '{self.parameters}' changes nothing; give lr, lr_factor or weight_decay"
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The optimiser of the network's own parameters (what a balancing method learns has its own).

    name: "adamw" (fused; Loshchilov & Hutter, ICLR 2019; betas, eps and weight_decay default as in PyTorch), "sgd", or
    "schedule_free_adamw" (Defazio et al., NeurIPS 2024: constant rate, the network is judged and kept with an average of its weights; it
    takes the place of a schedule, so `schedule: constant` goes with it).
    lr: peak learning rate, above 0, or "auto": found by a range test before the first step (Smith, WACV 2017). weight_decay: on weight matrices only; never on norms, biases, learnt scalars and vectors, embeddings
    of categories and frequencies of number embeddings, for none of which 0 is a natural value. groups: parameters that are treated apart.
    momentum, nesterov: for "sgd" only. betas, eps: for the others only. warmup_steps: for "schedule_free_adamw" only.
    """

    name: OptimizerName = "adamw"
    lr: float | Literal["auto"] = 2e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9
    nesterov: bool = False
    warmup_steps: int = 0
    groups: tuple[GroupSettings, ...] = ()

    def __post_init__(self) -> None:
        choice("optimizer", self.name, get_args(OptimizerName))
        if self.lr != "auto":
            within("optimizer.lr", self.lr, 0.0, open_low=True)
        within("optimizer.weight_decay", self.weight_decay, 0.0)
        within("optimizer.eps", self.eps, 0.0, open_low=True)
        within("optimizer.momentum", self.momentum, 0.0, 1.0)
        if len(self.betas) != 2:
            raise SettingError(f"optimizer.betas must be two numbers, got {self.betas!r}; for example [0.9, 0.999]")
        for beta in self.betas:
            within("optimizer.betas", beta, 0.0, 1.0)
        whole("optimizer.warmup_steps", self.warmup_steps, 0)
        if self.nesterov and self.momentum == 0:
            raise SettingError("optimizer.nesterov needs momentum above 0, got 0; set momentum or leave nesterov out")
        if self.lr == "auto" and any(group.lr is not None for group in self.groups):
            raise SettingError(
                "optimizer.groups give rates as lr_factor beside lr: auto, got lr; the range test moves all rates together"
            )
        sgd, free = ("sgd",), ("schedule_free_adamw",)
        adamw = ("adamw", *free)
        readers = {"momentum": sgd, "nesterov": sgd, "betas": adamw, "eps": adamw, "warmup_steps": free}
        idle("optimizer", self, readers)
        if self.name in free and self.betas[0] == 0:
            raise SettingError(
                "optimizer.betas of schedule_free_adamw must begin above 0, got 0; beta1 is the share of the average in the point where "
                "the gradient is taken, .9 is usual"
            )

    @property
    def peak(self) -> float:
        """`lr` as a number. Raises ConfigError as long as it is to be found."""
        if isinstance(self.lr, str):
            raise ConfigError("optimizer.lr is still 'auto'; find_lr of cotrain.training finds a number")
        return self.lr


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """How the learning rate moves, as a factor of `optimizer.lr`.

    name: "constant"; "cosine" (half a cosine from 1 down to `floor`; Loshchilov & Hutter, ICLR 2017, without restarts);
    "one_cycle" (a cosine up from 1/25 over `warmup`, .3 where it is 0, then a cosine down to `floor`; Smith & Topin 2019, without
    their cycling of the momentum); "plateau" (times `factor` when the watched score did not improve for more than `patience` epochs).
    warmup: share of all steps over which the rate rises linearly from 0, in [0, 1).
    steps: how many steps the whole training has, where that cannot be counted beforehand (a stream without a length).
    """

    name: ScheduleName = "cosine"
    warmup: float = 0.0
    floor: float = 0.0
    factor: float = 0.5
    patience: int = 2
    steps: int | None = None

    def __post_init__(self) -> None:
        choice("schedule", self.name, get_args(ScheduleName))
        within("schedule.warmup", self.warmup, 0.0, 0.999)
        within("schedule.floor", self.floor, 0.0, 1.0)
        within("schedule.factor", self.factor, 0.0, 0.999, open_low=True)
        whole("schedule.patience", self.patience, 0)
        if self.steps is not None:
            whole("schedule.steps", self.steps, 1)
        plateau, falling = ("plateau",), ("cosine", "one_cycle")
        idle("schedule", self, {"factor": plateau, "patience": plateau, "floor": falling})
