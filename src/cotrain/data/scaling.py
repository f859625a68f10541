"""Numbers on a common scale, by what the training rows say, and back.

Standard: (x - mean) / standard deviation. Robust: (x - median) / (q75 - q25). Min-max: (x - min) / (max - min). Log: sign(x)
log(1 + |x|), then standardised. Quantile: the share of training values below x, as the normal deviate of that share. None: x.
Scaled cells are clipped at 10,000 in size, so that no cell of a new row can overflow a network (a standardised training cell cannot
reach that below 10^8 rows); without scaling at 10^30, so that float32 holds them. A column that is constant in training has its own
size as scale.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cotrain.core.state import plain
from cotrain.data.column_settings import ScalingName
from cotrain.data.outliers import quantiles

CLIP = 1e4
UNSCALED = 1e30
_KNOTS = 1001
_EDGE = 1e-5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scaler:
    """(x - center) / scale, of the logarithm where `name` is log, or by `knots` (training quantiles) where there are any."""

    name: ScalingName = "standard"
    center: float = 0.0
    scale: float = 1.0
    knots: tuple[float, ...] = ()

    @staticmethod
    def fit(held: Floats, name: ScalingName) -> Scaler:
        """Fitted on finite values in rising order; those of no row give a scaler that leaves numbers as they are.

        >>> Scaler.fit(np.array([0.0, 5.0, 10.0]), "min_max").scaled(np.array([2.5, 20.0])).tolist()
        [0.25, 2.0]
        """
        if not len(held) or name == "none":
            return Scaler(name)
        knots: tuple[float, ...] = ()
        if name == "robust":
            low, center, high = (float(one) for one in quantiles(held, (0.25, 0.5, 0.75)))
            spread = high / 2 - low / 2
            scale = 2 * spread if spread > 0 else deviation(held)[1]
        elif name == "min_max":
            center, scale = float(held[0]), 2 * (float(held[-1]) / 2 - float(held[0]) / 2)
        elif name == "log":
            center, scale = deviation(signed_log(held))
        else:
            center, scale = deviation(held)
        if name == "quantile":
            shares = np.linspace(0, 1, min(_KNOTS, len(held)))
            knots = tuple(float(one) for one in quantiles(held, shares))
        if not np.isfinite(scale) or scale <= abs(center) * 1e-13 or scale < 1e-300:
            scale = max(abs(center), 1.0)
        return Scaler(name, center, scale, knots)

    def scaled(self, values: Floats) -> Floats:
        """The scaled values, clipped (`CLIP`, `UNSCALED`)."""
        if self.knots:
            knots = np.asarray(self.knots)
            shares = np.linspace(0, 1, len(knots))
            below = np.interp(values, knots, shares)
            above = 1 - np.interp(-values, -knots[::-1], shares)
            share = np.clip((below + above) / 2, _EDGE, 1 - _EDGE)
            return np.asarray(torch.special.ndtri(torch.from_numpy(share)).numpy())
        if self.name == "none":
            return np.clip(values, -UNSCALED, UNSCALED)
        if self.name == "log":
            values = signed_log(values)
        with np.errstate(over="ignore"):
            return np.clip((values - self.center) / self.scale, -CLIP, CLIP)

    def inverse(self, scaled: Floats) -> Floats:
        """The values behind scaled ones, in the column's units (by quantiles: within the training range).

        >>> scaler = Scaler.fit(np.array([1.0, 2.0, 6.0]), "log")
        >>> scaler.inverse(scaler.scaled(np.array([2.5]))).round(6).tolist()
        [2.5]
        """
        scaled = np.asarray(scaled, dtype=np.float64)
        if self.knots:
            share = torch.special.ndtr(torch.from_numpy(scaled)).numpy()
            knots = np.asarray(self.knots)
            inner = (share - _EDGE) / (1 - 2 * _EDGE) if len(knots) < 2 else share
            return np.asarray(np.interp(inner, np.linspace(0, 1, len(knots)), knots))
        if self.name == "none":
            return scaled
        values = scaled * self.scale + self.center
        return np.sign(values) * np.expm1(np.abs(values)) if self.name == "log" else values

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal scaler, to the last bit."""
        return dict(plain(asdict(self)))

    @staticmethod
    def from_json(value: dict[str, Any]) -> Scaler:
        """The scaler `to_json` wrote."""
        return Scaler(**(value | {"knots": tuple(value["knots"])}))


def signed_log(values: Floats) -> Floats:
    """sign(x) log(1 + |x|): odd, rising, about x near 0 and a logarithm far from it.

    >>> signed_log(np.array([-1.0, 0.0, np.e - 1])).round(4).tolist()
    [-0.6931, 0.0, 1.0]
    """
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def deviation(values: Floats) -> tuple[float, float]:
    """(mean, standard deviation) of finite values, without overflow for large ones."""
    size = float(np.abs(values).max()) or 1.0
    part = values / size
    mean = float(part.mean())
    return mean * size, float(np.sqrt(np.square(part - mean).mean())) * size
