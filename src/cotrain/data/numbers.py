"""Numbers: reading them from a column, and a column of them as features.

A cell goes through these steps, all fitted on the training rows: outliers clipped or flagged (`outliers`), missing cells filled and
marked (`ImputeSettings`), scaled (`Scaler`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.core.state import plain
from cotrain.data.column_settings import ImputeSettings, OutlierSettings, ScalingSettings
from cotrain.data.columns import Change, Part, rising
from cotrain.data.outliers import bounds_of, outside, quantiles
from cotrain.data.scaling import Scaler, deviation

Floats = NDArray[np.float64]


def as_floats(series: pl.Series, column: str | None = None) -> Floats:
    """[B] float64, missing and infinite cells as NaN. Raises DataError naming the first row and cell that is no number.

    >>> as_floats(pl.Series("age", ["31", None, "4.5"])).tolist()
    [31.0, nan, 4.5]
    """
    name = series.name if column is None else column
    numbers = series
    if series.dtype == pl.String:
        numbers = series.str.strip_chars().cast(pl.Float64, strict=False)
        wrong = numbers.is_null() & series.is_not_null()
        if wrong.any():
            row = wrong.arg_max() or 0
            raise DataError(
                f"column '{name}', row {row + 1}: a number is expected, got '{series[row]}' "
                f"({int(wrong.sum())} such cells). If it stands for a missing cell, add it to data.missing: ['{series[row]}']; "
                f"if the column holds labels, say data.kinds: {{{name}: category}}"
            )
    elif series.dtype == pl.Boolean or series.dtype.is_numeric() or series.dtype == pl.Null:
        numbers = series.cast(pl.Float64)
    else:
        raise DataError(
            f"column '{name}' holds {series.dtype}, numbers are expected; say another kind, data.kinds: {{{name}: category}}"
        )
    out = numbers.to_numpy().astype(np.float64, copy=True)
    out[~np.isfinite(out)] = np.nan
    return out


_STANDARD, _MEDIAN, _NO_OUTLIERS = ScalingSettings(), ImputeSettings(), OutlierSettings()


@dataclass(frozen=True)
class NumberEncoder:
    """One column of numbers, scaled, with an indicator of missing cells and a flag of outliers where training rows had such.

    impute: how missing cells are filled. fill: what stands for them, in the column's units; `learned` has 0 in scaled units instead.
    missing: training had missing cells. indicator: they are marked. bounds: of outliers, or None. clip: whether the nearer bound stands for an outlier; else it is flagged.
    """

    kind: ClassVar[str] = "number"
    field: ClassVar[str] = "numbers"

    name: str
    scaler: Scaler
    impute: str
    fill: float
    missing: bool
    indicator: bool
    bounds: tuple[float, float] | None = None
    clip: bool = False
    quantiles: tuple[tuple[float, ...], ...] = ()

    @staticmethod
    def fit(
        name: str,
        values: Floats,
        scaling: ScalingSettings = _STANDARD,
        impute: ImputeSettings = _MEDIAN,
        outliers: OutlierSettings = _NO_OUTLIERS,
    ) -> NumberEncoder:
        """Fitted on the training rows; the order of the rows does not matter, to the last bit.

        Raises DataError if missing cells are to become a constant and no number was told.
        """
        held = np.sort(values[np.isfinite(values)])
        missing = len(held) < len(values)
        bounds = bounds_of(held, outliers) if outliers.does in ("clip", "flag") else None
        clip = outliers.does == "clip"
        if bounds is not None and clip:
            held = np.clip(held, *bounds)
        elif bounds is not None and not outside(held, bounds).any():
            bounds = None
        made = NumberEncoder(
            name,
            Scaler.fit(held, scaling.name),
            impute.name,
            filler(name, held, impute),
            missing,
            impute.indicator and missing,
            bounds,
            clip,
        )
        marks: list[tuple[float, ...]] = [(0.0, 1.0)] * (len(made.features) - 1)
        whole = rising(made.scaler.scaled(held).astype(np.float32)) if len(held) else (0.0,)
        return replace(made, quantiles=(whole, *marks))

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers this column becomes."""
        marks = [f"{self.name} is missing"] if self.indicator else []
        return (self.name, *marks, *([f"{self.name} is an outlier"] if self._flags else []))

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """None: these are numbers."""
        return ()

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        scaling = "not scaled" if self.scaler.name == "none" else f"{self.scaler.name} scaling"
        parts = [f"outliers {'clipped' if self.clip else 'flagged'}"] if self.bounds is not None else []
        return ", ".join([scaling, *parts, *(["missing cells marked"] if self.indicator else [])])

    @property
    def _flags(self) -> bool:
        return self.bounds is not None and not self.clip

    def part(self, frame: pl.DataFrame) -> Part:
        """The features of any rows; a missing cell's number is marked as filler, and said if training had no missing cell."""
        values = as_floats(frame[self.name])
        held = np.isfinite(values)
        columns = self.encode(values)
        if held.all():
            return Part(columns)
        told = (
            f"column '{self.name}': {int((~held).sum())} missing cells, which training never had, became {self._filled}"
        )
        return Part(columns, [held] + [None] * (len(columns) - 1), [] if self.missing else [told])

    @property
    def _filled(self) -> str:
        words = {"constant": "the constant", "most_frequent": "the most frequent number", "mean": "the mean"}
        if self.impute == "learned":
            return "the learned fill"
        return f"{words.get(self.impute, 'the median')} {self.fill:g}"

    def encode(self, values: Floats) -> list[NDArray[np.float32]]:
        """One [B] float32 column for every feature, finite everywhere."""
        absent = ~np.isfinite(values)
        filled = np.where(absent, self.fill, values) if absent.any() else values
        scaled = self.scaler.scaled(np.clip(filled, *self.bounds) if self.bounds is not None and self.clip else filled)
        if self.impute == "learned":
            scaled = np.where(absent, 0.0, scaled)
        out = [scaled.astype(np.float32)]
        if self.indicator:
            out.append(absent.astype(np.float32))
        if self.bounds is not None and not self.clip:
            out.append(outside(values, self.bounds).astype(np.float32))
        return out

    def changes(self, frame: pl.DataFrame) -> list[Change]:
        """Which cells of any rows are filled, clipped or flagged."""
        values = as_floats(frame[self.name])
        marked = ", marked" if self.indicator else ""
        found = [Change("missing cell filled", self.name, ~np.isfinite(values), f"with {self._filled}{marked}")]
        if self.bounds is not None:
            what = "clipped" if self.clip else "flagged"
            span = f"outside {self.bounds[0]:g} to {self.bounds[1]:g}"
            found.append(Change(f"outlier {what}", self.name, outside(values, self.bounds), span))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {"kind": self.kind, **plain(asdict(self))}

    @staticmethod
    def from_json(value: dict[str, Any]) -> NumberEncoder:
        """The encoder `to_json` wrote."""
        known = {key: one for key, one in value.items() if key != "kind"}
        return NumberEncoder(
            **known
            | {
                "scaler": Scaler.from_json(value["scaler"]),
                "bounds": None if value["bounds"] is None else tuple(value["bounds"]),
                "quantiles": tuple(tuple(one) for one in value["quantiles"]),
            }
        )


def filler(name: str, held: Floats, settings: ImputeSettings) -> float:
    """What stands for a missing cell, in the column's units; 0 where no training row holds a number. held: finite, in rising order.

    >>> [filler("x", np.array([1.0, 1.0, 3.0, 7.0]), ImputeSettings(how)) for how in ("median", "mean", "most_frequent")]
    [2.0, 3.0, 1.0]
    """
    if settings.name == "constant":
        if settings.value is None:
            raise DataError(
                f"data.impute.value: 'constant' was told no number for column '{name}'; give `value`, for example value: 0"
            )
        return settings.value
    if not len(held):
        return 0.0
    if settings.name == "mean":
        return deviation(held)[0]
    if settings.name == "most_frequent":
        values, counts = np.unique(held, return_counts=True)
        return float(values[counts.argmax()])
    return float(quantiles(held, 0.5))
