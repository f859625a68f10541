"""Numbers: reading them from a column, and scaling them by what the training rows say.

Standard: (x - mean) / standard deviation. Robust: (x - median) / (q75 - q25). Quantile: the share of training values below x,
as the normal deviate of that share. Scaled cells are clipped at 10,000 in size, so that no cell of a new row can overflow a
network (a standardised training cell cannot reach that below 10^8 rows). A missing cell becomes the training median, with an
indicator of its own where training rows had missing ones. A column that is constant in training has its own size as scale.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.core.state import plain
from cotrain.data.column_settings import ScalingName
from cotrain.data.columns import Part, rising

CLIP = 1e4
_KNOTS = 1001
_EDGE = 1e-5

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


@dataclass(frozen=True)
class NumberEncoder:
    """One column of numbers, scaled: (x - center) / scale, or by `knots` (training quantiles) where there are any."""

    kind: ClassVar[str] = "number"
    field: ClassVar[str] = "numbers"

    name: str
    scaling: ScalingName
    center: float
    scale: float
    median: float
    indicator: bool
    knots: tuple[float, ...] = ()
    quantiles: tuple[tuple[float, ...], ...] = ()

    @staticmethod
    def fit(name: str, values: Floats, scaling: ScalingName) -> NumberEncoder:
        """Fitted on the training rows; the order of the rows does not matter, to the last bit."""
        held = np.sort(values[np.isfinite(values)])
        indicator = len(held) < len(values)
        if not len(held):
            return NumberEncoder(name, scaling, 0.0, 1.0, 0.0, indicator)._with_quantiles(held)
        low, median, high = (float(one) for one in np.quantile(held, (0.25, 0.5, 0.75)))
        if scaling == "robust":
            spread = high / 2 - low / 2
            center, scale = median, (2 * spread if spread > 0 else deviation(held)[1])
        else:
            center, scale = deviation(held)
        knots: tuple[float, ...] = ()
        if scaling == "quantile":
            shares = np.linspace(0, 1, min(_KNOTS, len(held)))
            knots = tuple(float(one) for one in np.quantile(held, shares))
        if not np.isfinite(scale) or scale <= abs(center) * 1e-13 or scale < 1e-300:
            scale = max(abs(center), 1.0)
        return NumberEncoder(name, scaling, center, scale, median, indicator, knots)._with_quantiles(held)

    def _with_quantiles(self, held: Floats) -> NumberEncoder:
        scaled = rising(self.scaled(held).astype(np.float32)) if len(held) else (0.0,)
        return replace(self, quantiles=(scaled, (0.0, 1.0)) if self.indicator else (scaled,))

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """None: these are numbers."""
        return ()

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        return f"{self.scaling} scaling" + (", missing cells marked" if self.indicator else "")

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers this column becomes."""
        return (self.name, f"{self.name} is missing") if self.indicator else (self.name,)

    def encode(self, values: Floats) -> list[NDArray[np.float32]]:
        """One [B] float32 column for every feature, finite everywhere."""
        absent = ~np.isfinite(values)
        filled = np.where(absent, self.median, values) if absent.any() else values
        out = [self.scaled(filled).astype(np.float32)]
        if self.indicator:
            out.append(absent.astype(np.float32))
        return out

    def part(self, frame: pl.DataFrame) -> Part:
        """The features of any rows; a missing cell's number is marked as filler."""
        values = as_floats(frame[self.name])
        held = np.isfinite(values)
        columns = self.encode(values)
        return Part(columns) if held.all() else Part(columns, [held] + [None] * (len(columns) - 1))

    def scaled(self, values: Floats) -> Floats:
        """The scaled values, without clipping beyond `CLIP`."""
        if self.knots:
            knots = np.asarray(self.knots)
            shares = np.linspace(0, 1, len(knots))
            below = np.interp(values, knots, shares)
            above = 1 - np.interp(-values, -knots[::-1], shares)
            share = np.clip((below + above) / 2, _EDGE, 1 - _EDGE)
            return np.asarray(torch.special.ndtri(torch.from_numpy(share)).numpy())
        with np.errstate(over="ignore"):
            return np.clip((values - self.center) / self.scale, -CLIP, CLIP)

    def inverse(self, scaled: Floats) -> Floats:
        """The values behind scaled ones, in the column's units (by quantiles: within the training range).

        >>> encoder = NumberEncoder.fit("x", np.array([1.0, 2.0, 6.0]), "standard")
        >>> encoder.inverse(encoder.scaled(np.array([2.5]))).round(6).tolist()
        [2.5]
        """
        if self.knots:
            share = torch.special.ndtr(torch.from_numpy(np.asarray(scaled, dtype=np.float64))).numpy()
            knots = np.asarray(self.knots)
            inner = (share - _EDGE) / (1 - 2 * _EDGE) if len(knots) < 2 else share
            return np.asarray(np.interp(inner, np.linspace(0, 1, len(knots)), knots))
        return np.asarray(scaled, dtype=np.float64) * self.scale + self.center

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {"kind": self.kind, **plain(asdict(self))}

    @staticmethod
    def from_json(value: dict[str, Any]) -> NumberEncoder:
        """The encoder `to_json` wrote."""
        known = {key: one for key, one in value.items() if key != "kind"}
        quantiles = tuple(tuple(one) for one in value["quantiles"])
        return NumberEncoder(**(known | {"knots": tuple(value["knots"]), "quantiles": quantiles}))


def deviation(values: Floats) -> tuple[float, float]:
    """(mean, standard deviation) of finite values, without overflow for large ones."""
    size = float(np.abs(values).max()) or 1.0
    part = values / size
    mean = float(part.mean())
    return mean * size, float(np.sqrt(np.square(part - mean).mean())) * size
