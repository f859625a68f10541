"""What a user may say about how columns are cleaned and encoded: for all of them, and for single ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from cotrain.core.errors import ConfigError, unknown
from cotrain.data.feature_settings import CategorySettings, DateSettings, TextSettings
from cotrain.data.picture_settings import ImageSettings

ScalingName = Literal["standard", "robust", "quantile", "min_max", "log", "none"]
ImputeName = Literal["median", "mean", "most_frequent", "constant", "learned", "drop"]
LabelName = Literal["code", "most_frequent", "constant", "drop"]
OutlierName = Literal["none", "quantile", "iqr", "isolation_forest"]
Action = Literal["clip", "flag", "drop"]


@dataclass(frozen=True)
class ScalingSettings:
    """How numbers are scaled, by what the training rows say.

    name: `standard`, (x - mean) / standard deviation; `robust`, (x - median) / (q75 - q25); `quantile`, the normal deviate of the
    share of training values below x; `min_max`, (x - min) / (max - min); `log`, sign(x) log(1 + |x|), then standardised, for amounts
    and counts over several decades (Webber, Measurement Science and Technology 2013); `none`, x as it is.
    """

    name: ScalingName = "standard"

    def __post_init__(self) -> None:
        _choice("data.scaling", "scaling", self.name, get_args(ScalingName))


@dataclass(frozen=True)
class ImputeSettings:
    """What stands where a cell is missing, by what the training rows say. A missing target is never filled: it is masked.

    name: of numbers. `median` (Little & Rubin 2002 on such fills and what they bias), `mean`, `most_frequent` (the smallest of them);
    `constant`, `value`; `learned`, 0 in scaled units beside the indicator, so that the network's weight of the indicator is the fill;
    `drop`, rows with a missing cell in this column leave the training split, and only that: later ones get the median and are counted.
    value: of `constant`, in the column's units. indicator: a second number, 1 where the cell was missing, if training had such cells.
    categories: `code`, missing is a code of its own; `most_frequent`, the label met most often (the first in order of the word);
    `constant`, the word `label`; `drop`, as for numbers. label: of `constant`.
    For a single column that is a category, `name` may say it too: `city: {impute: most_frequent}`.
    """

    name: ImputeName = "median"
    value: float | None = None
    indicator: bool = True
    categories: LabelName = "code"
    label: str | None = None

    def __post_init__(self) -> None:
        _choice("data.impute", "way to fill missing numbers", self.name, get_args(ImputeName))
        _choice("data.impute.categories", "way to fill missing labels", self.categories, get_args(LabelName))
        if self.name == "constant" and self.value is None and self.label is None:
            raise ConfigError(
                "data.impute.value: 'constant' needs the number that stands for a missing cell, got nothing; "
                "write for example {name: constant, value: 0}"
            )
        if self.value is not None and not math.isfinite(self.value):
            raise ConfigError(f"data.impute.value: a finite number is expected, got {self.value}; write for example 0")
        if self.categories == "constant" and self.label is None:
            raise ConfigError(
                "data.impute.label: categories: 'constant' needs the word that stands for a missing cell, got nothing; "
                "write for example {categories: constant, label: unknown}"
            )
        if self.value is not None and self.name != "constant":
            raise ConfigError(
                f"data.impute.value is read by 'constant' only, got {self.value} for '{self.name}'; take it out, or say constant"
            )
        if self.label is not None and "constant" not in (self.name, self.categories):
            raise ConfigError(
                f"data.impute.label is read by 'constant' only, got '{self.label}'; take it out, or say categories: constant"
            )
        if self.name == "learned" and not self.indicator:
            raise ConfigError(
                "data.impute.indicator: 'learned' learns its fill as the weight of the indicator, got false; "
                "take it out, or fill with the mean"
            )

    @property
    def of_labels(self) -> LabelName:
        """How the missing cells of a category are filled: what `categories` says, else what `name` says where it can be meant so."""
        if self.categories != "code":
            return self.categories
        return self.name if self.name in ("most_frequent", "constant", "drop") else "code"


@dataclass(frozen=True)
class OutlierSettings:
    """Which numbers are outliers, by what the training rows say, and what becomes of them.

    name: `none`; `quantile`, outside the training quantiles `low` and `high` (1 % on either side: the usual winsorising); `iqr`,
    further than `factor` interquartile ranges from the quartiles (1.5: Tukey, Exploratory Data Analysis, 1977; none where the range is 0);
    `isolation_forest`, rows that `trees` random trees on `samples` rows each set apart early (Liu, Ting & Zhou, ICDM 2008, whose
    100 and 256 are the defaults), over all number columns at once, the share `contamination` of the training rows.
    action: `clip`, the nearer bound stands for it; `flag`, a further number that is 1 for it; `drop`, its row leaves the training
    split, and only that. By default clip; flag for the forest, which has no bounds to clip to.
    """

    name: OutlierName = "none"
    action: Action | None = None
    low: float = 0.01
    high: float = 0.99
    factor: float = 1.5
    contamination: float = 0.01
    trees: int = 100
    samples: int = 256

    def __post_init__(self) -> None:
        _choice("data.outliers", "way to find outliers", self.name, get_args(OutlierName))
        if self.action is not None:
            _choice("data.outliers.action", "action", self.action, get_args(Action))
        readers: dict[str, Sequence[str]] = {
            "action": ("quantile", "iqr", "isolation_forest"),
            **dict.fromkeys(("low", "high"), ("quantile",)),
            "factor": ("iqr",),
            **dict.fromkeys(("contamination", "trees", "samples"), ("isolation_forest",)),
        }
        for part in fields(self):
            names = readers.get(part.name, ())
            if names and self.name not in names and getattr(self, part.name) != part.default:
                raise ConfigError(
                    f"data.outliers.{part.name} is read by {' and '.join(names)} only, got {getattr(self, part.name)!r} for "
                    f"'{self.name}'; take it out, or choose another way"
                )
        if self.name == "isolation_forest" and self.action == "clip":
            raise ConfigError(
                "data.outliers.action: the isolation forest finds rows and has no bounds to clip a cell to, got 'clip'; "
                "write flag or drop, or use quantile or iqr"
            )
        if not 0 <= self.low < self.high <= 1:
            raise ConfigError(
                f"data.outliers.low: two shares with 0 <= low < high <= 1 are expected, got {self.low:g} and {self.high:g}; "
                "for example {low: 0.01, high: 0.99}"
            )
        if not (math.isfinite(self.factor) and self.factor >= 0):
            raise ConfigError(f"data.outliers.factor: 0 or more is expected, got {self.factor:g}; 1.5 is usual")
        if not 0 < self.contamination <= 0.5:
            raise ConfigError(
                f"data.outliers.contamination: a share above 0 and of at most 0.5 is expected, got {self.contamination:g}"
            )
        if self.trees < 1:
            raise ConfigError(f"data.outliers.trees: at least 1 is expected, got {self.trees}; 100 is usual")
        if self.samples < 2:
            raise ConfigError(
                f"data.outliers.samples: at least 2 rows a tree are expected, got {self.samples}; 256 is usual"
            )

    @property
    def does(self) -> Action | None:
        """What becomes of an outlier; None where none is looked for."""
        if self.name == "none":
            return None
        return self.action or ("flag" if self.name == "isolation_forest" else "clip")


@dataclass(frozen=True)
class ColumnSettings:
    """What holds for one column in place of what `data` says of all; None leaves that as it is.

    impute, outliers, scaling: of numbers, and `impute` of categories and dates (`drop` alone). categories, text, dates, image: as `data` has them.
    A key left out has its default, not what `data` says. outliers: none takes the column out of the isolation forest.
    """

    impute: ImputeSettings | None = None
    outliers: OutlierSettings | None = None
    scaling: ScalingSettings | None = None
    categories: CategorySettings | None = None
    text: TextSettings | None = None
    dates: DateSettings | None = None
    image: ImageSettings | None = None

    def __post_init__(self) -> None:
        if self.outliers is not None and self.outliers.name == "isolation_forest":
            raise ConfigError(
                "data.per_column.outliers: the isolation forest looks at all number columns at once, so it is no setting of one; "
                "say it under data.outliers, and here none, quantile or iqr"
            )


@dataclass(frozen=True)
class Said:
    """What holds for one column, all told. labels: how its missing cells are filled if it is a category."""

    impute: ImputeSettings
    labels: LabelName
    outliers: OutlierSettings
    scaling: ScalingSettings
    categories: CategorySettings
    text: TextSettings
    dates: DateSettings
    image: ImageSettings


def _choice(key: str, what: str, given: Any, known: Sequence[str]) -> None:
    if given not in known:
        raise ConfigError(f"{key}: " + unknown(what, str(given), known))
