"""What a task learns on the validation rows after training: its decision threshold and its calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotrain.tasks.calibration import CALIBRATIONS, Calibration, calibrated, calibration_from_json
from cotrain.tasks.decision import Aim, best_threshold
from cotrain.tasks.scores import Array


@dataclass(frozen=True)
class Settled:
    """threshold: the probability from which the task says yes, or None where it was not tuned. reached: what it reached on the
    validation rows. calibration: of the logits, or None. notes: what was asked for and could not be had, and why.
    """

    threshold: float | None = None
    reached: float | None = None
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `from_json` is its inverse."""
        one = self.calibration
        return {
            "threshold": self.threshold,
            "reached": self.reached,
            "calibration": None if one is None else {"name": one.name, **one.to_json()},
            "notes": list(self.notes),
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Settled:
        """What `to_json` was asked of."""
        one = dict(stored["calibration"] or {})
        calibration = calibration_from_json(one.pop("name"), one) if one else None
        return Settled(stored["threshold"], stored["reached"], calibration, tuple(stored["notes"]))


def settle(
    task: str, logits: Array, truth: Array, weight: Array, *, calibrate: str = "none", aim: Aim | None = None
) -> Settled:
    """Calibration first, then the threshold on the calibrated probabilities. logits: [N] of yes, or [N, C]; weight [N] > 0.

    truth: [N] labels, 0 or 1 or class numbers. calibrate: a name of `CALIBRATIONS`, or "none". aim: what a threshold is tuned for, or None.
    Without rows, or with rows of one class only, everything stays as it is and the notes say so.
    """
    if calibrate == "none" and aim is None:
        return Settled()
    wanted = " and ".join(["calibration"] * (calibrate != "none") + ["threshold"] * (aim is not None))
    if not np.isfinite(logits).all():
        return Settled(
            notes=(f"task '{task}': an output on the validation rows is not finite, so no {wanted} was fitted",)
        )
    if len(np.unique(truth)) < 2:
        seen = "no label" if not len(truth) else "one class only"
        return Settled(notes=(f"task '{task}': the validation rows hold {seen}, so no {wanted} was fitted",))
    notes = []
    calibration = None if calibrate == "none" else CALIBRATIONS[calibrate].fit(logits, truth, weight)
    if calibrate != "none" and calibration is None:
        notes.append(
            f"task '{task}': its outputs contradict the labels of the validation rows, so no calibration was fitted"
        )
    threshold = reached = None
    if aim is not None:
        threshold, reached = best_threshold(chances(calibrated(calibration, logits)), truth > 0.5, weight, aim)
    return Settled(threshold, reached, calibration, tuple(notes))


def chances(logits: Array) -> Array:
    """1 / (1 + e^-z), finite for every z."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -700.0, 700.0))))
