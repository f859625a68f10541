"""Bounds beyond which a number is an outlier, from the training rows alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cotrain.data.column_settings import OutlierSettings

Floats = NDArray[np.float64]
_LARGEST = float(np.finfo(np.float64).max)


def quantiles(held: Floats, shares: float | Sequence[float] | Floats) -> Floats:
    """`np.quantile` of finite values, also of such whose distance is no float64 any more: these are quartered, to the bit, on the way.

    >>> quantiles(np.array([-1.6e308, 1.6e308]), (0.0, 0.5, 1.0)).tolist()
    [-1.6e+308, 0.0, 1.6e+308]
    """
    factor = 0.25 if len(held) and float(np.abs(held).max()) > _LARGEST / 4 else 1.0
    return np.asarray(np.quantile(held * factor if factor < 1 else held, shares)) / factor


def bounds_of(held: Floats, settings: OutlierSettings) -> tuple[float, float] | None:
    """(low, high), within which a number is none; None where nothing bounds a single number. held: finite, in rising order.

    `quantile`: the quantiles `low` and `high`. `iqr`: q25 - factor (q75 - q25) and q75 + factor (q75 - q25), None where half the
    values are equal, so that a column of mostly one value does not become that value.

    >>> bounds_of(np.arange(5.0), OutlierSettings("iqr")), bounds_of(np.zeros(9), OutlierSettings("iqr"))
    ((-2.0, 6.0), None)
    """
    if not len(held) or settings.name not in ("quantile", "iqr"):
        return None
    shares = (settings.low, settings.high) if settings.name == "quantile" else (0.25, 0.75)
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = quantiles(held, shares)
        if settings.name == "iqr":
            spread = high - low
            if not spread > 0:
                return None
            low, high = low - settings.factor * spread, high + settings.factor * spread
    low, high = (float(np.nan_to_num(one, nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)) for one in (low, high))
    return min(low, high), max(low, high)


def outside(values: Floats, bounds: tuple[float, float]) -> NDArray[np.bool_]:
    """[B] bool, True for a number beyond the bounds; a missing cell is not."""
    return np.asarray((values < bounds[0]) | (values > bounds[1]))
