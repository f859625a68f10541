"""Calibrated probabilities: a rising function of the logits, fitted on validation rows after training.

Shapes: N rows, C classes. Everything is in float64 on the CPU. The order of the answers stays, so AUC is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from cotrain.tasks.scores import Array

COLDEST, HOTTEST = 0.01, 100.0
"""Temperatures lie between these: on rows that the network tells apart without a mistake, none is low enough."""


@dataclass(frozen=True)
class Temperature:
    """z / T: one number for all logits, of two classes or of many.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """

    name: ClassVar[str] = "temperature"
    temperature: float

    def __call__(self, logits: Array) -> Array:
        return logits / self.temperature

    def to_json(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    @staticmethod
    def fit(logits: Array, truth: Array, weight: Array) -> Temperature:
        """The T of least log loss. logits: [N] (truth 0 or 1) or [N, C] (truth class numbers).

        The log loss is convex in 1 / T: its derivative is bisected over the logarithm of T.

        >>> two = Temperature.fit(np.array([2.0, 2.0, 2.0, -2.0]), np.array([1.0, 1.0, 0.0, 0.0]), np.ones(4))
        >>> round(2 / two.temperature, 6), round(float(np.log(3.0)), 6)  # right three times of four
        (1.098612, 1.098612)
        """
        if logits.ndim == 1:
            logits = np.stack([-logits / 2, logits / 2], 1)
        own = logits[np.arange(len(logits)), truth.astype(int)]

        def rising(inverse: float) -> bool:
            scaled = inverse * logits
            chance = np.exp(scaled - scaled.max(1, keepdims=True))
            chance /= chance.sum(1, keepdims=True)
            return float(np.average((chance * logits).sum(1) - own, weights=weight)) > 0

        low, high = -np.log(HOTTEST), -np.log(COLDEST)  # of log(1 / T)
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (low, middle) if rising(float(np.exp(middle))) else (middle, high)
        return Temperature(float(np.exp(-(low + high) / 2)))


@dataclass(frozen=True)
class Platt:
    """a z + b: a line through the logits of a yes/no task.

    Source: J. Platt, Probabilistic Outputs for Support Vector Machines, 1999, with the targets of its section 2.2.
    """

    name: ClassVar[str] = "platt"
    slope: float
    offset: float

    def __call__(self, logits: Array) -> Array:
        return self.slope * logits + self.offset

    def to_json(self) -> dict[str, Any]:
        return {"slope": self.slope, "offset": self.offset}

    @staticmethod
    def fit(logits: Array, truth: Array, weight: Array) -> Platt | None:
        """The line of least log loss, by Newton's method; None where it would not rise, because the outputs contradict the labels.

        With N+ and N- the weights of yes and no, the targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2) in place of 1 and 0.
        """
        yes = truth > 0.5
        up, down = float(weight[yes].sum()), float(weight[~yes].sum())
        goal = np.where(yes, (up + 1) / (up + 2), 1 / (down + 2))
        middle, spread = float(np.average(logits, weights=weight)), float(logits.std()) or 1.0
        inputs = np.stack([(logits - middle) / spread, np.ones_like(logits)], 1)

        def loss(line: Array) -> float:
            z = inputs @ line
            return float((weight * (np.logaddexp(0.0, z) - goal * z)).sum())

        line = np.array([0.0, np.log((up + 1) / (down + 1))])
        for _ in range(100):
            chance = 1 / (1 + np.exp(-np.clip(inputs @ line, -700, 700)))
            gradient = inputs.T @ (weight * (chance - goal))
            curve = (inputs * (weight * chance * (1 - chance))[:, None]).T @ inputs + 1e-12 * np.eye(2)
            step, length = np.linalg.solve(curve, gradient), 1.0
            while length > 1e-8 and loss(line - length * step) > loss(line):
                length /= 2
            line = line - length * step
            if float(np.abs(gradient).max()) <= 1e-10 * float(weight.sum()):
                break
        if not line[0] > 0:
            return None
        slope = float(line[0] / spread)
        return Platt(slope, float(line[1] - slope * middle))


@dataclass(frozen=True)
class Isotonic:
    """The rising steps nearest the labels, straight lines between them: knots `logits` (rising) and `chances` there.

    Chances stay between 1 / (n + 2) and (n + 1) / (n + 2) for n validation rows, so that no answer is surer than these rows can say.

    Source: B. Zadrozny and C. Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD 2002;
    fitted by scikit-learn's IsotonicRegression.
    """

    name: ClassVar[str] = "isotonic"
    logits: tuple[float, ...]
    chances: tuple[float, ...]

    def __call__(self, logits: Array) -> Array:
        chance = np.interp(logits, self.logits, self.chances)
        out: Array = np.log(chance) - np.log1p(-chance)
        return out

    def to_json(self) -> dict[str, Any]:
        return {"logits": list(self.logits), "chances": list(self.chances)}

    @staticmethod
    def fit(logits: Array, truth: Array, weight: Array) -> Isotonic:
        """The knots for logits [N], labels [N] and weights [N]."""
        from sklearn.isotonic import IsotonicRegression

        least = 1 / (len(logits) + 2)
        found = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
        found.fit(logits, truth, sample_weight=weight)
        return Isotonic(tuple(map(float, found.X_thresholds_)), tuple(map(float, found.y_thresholds_)))


Calibration = Temperature | Platt | Isotonic
Fit = Callable[[Array, Array, Array], Calibration | None]
CALIBRATIONS: Mapping[str, type[Calibration]] = {one.name: one for one in (Temperature, Platt, Isotonic)}


def calibration_from_json(name: str, stored: Mapping[str, Any]) -> Calibration:
    """The calibration whose `to_json` gave this."""
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    made: Any = CALIBRATIONS[name]
    return cast(Calibration, made(**given))


def calibrated(calibration: Calibration | None, logits: Array) -> Array:
    """The logits as a calibration changes them; as they are without one."""
    return logits if calibration is None else calibration(logits)
