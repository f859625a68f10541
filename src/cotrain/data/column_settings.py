"""What a user may say about how columns are cleaned and encoded: for all of them, and for single ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cotrain.core.errors import ConfigError, unknown
from cotrain.data.feature_settings import CategorySettings, DateSettings, TextSettings

ScalingName = Literal["standard", "robust", "quantile"]


@dataclass(frozen=True)
class ScalingSettings:
    """How numbers are scaled, by what the training rows say.

    name: `standard`, (x - mean) / standard deviation; `robust`, (x - median) / (q75 - q25); `quantile`, the normal deviate of the
    share of training values below x.
    """

    name: ScalingName = "standard"

    def __post_init__(self) -> None:
        if self.name not in get_args(ScalingName):
            raise ConfigError("data.scaling: " + unknown("scaling", str(self.name), get_args(ScalingName)))


@dataclass(frozen=True)
class ColumnSettings:
    """What holds for one column in place of what `data` says of all; None leaves that as it is.

    scaling: of numbers. categories, text, dates: as `data` has them; a key left out has its default, not what `data` says.
    """

    scaling: ScalingSettings | None = None
    categories: CategorySettings | None = None
    text: TextSettings | None = None
    dates: DateSettings | None = None
