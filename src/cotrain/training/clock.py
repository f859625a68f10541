"""The time a training has spent, and how much of its limit is left for steps.

    share = spent / (limit - reserve)        reserve = longest validation so far + rows scored afterwards x seconds a trained row / 3

(scoring a row is a forward pass, about a third of a step). The share never falls, and a checkpoint holds it: a resumed training goes on where it stood, wherever that takes it. Two trainings under
a time limit differ as far as their machines do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Clock:
    """limit: seconds, or None. scored: rows that are scored after the training, within the limit.

    >>> clock = Clock(100.0, scored=0)
    >>> clock.before, clock.validation = 40.0, 20.0      # spent before a resumption; the longest validation
    >>> round(clock.look(rows=0), 2), clock.out
    (0.5, False)
    """

    def __init__(self, limit: float | None, *, scored: int = 0) -> None:
        self.limit, self.scored = limit, scored
        self.before, self.validation, self.validating = 0.0, 0.0, 0.0
        self.share = 0.0
        self.out = False
        self._since = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds of all training, resumed parts and validations included."""
        return self.before + time.monotonic() - self._since

    def look(self, rows: int) -> float:
        """The share of the time that is gone, in [0, 1]; 0 without a limit. rows: how many have been trained on."""
        if self.limit is not None:
            spent = self.spent
            pace = max(spent - self.validating, 0.0) / rows if rows else 0.0
            left = self.limit - self.validation - self.scored * pace / 3
            self.out = spent >= left
            self.share = max(self.share, min(1.0, spent / left) if left > 0 else 1.0)
        return self.share

    @contextmanager
    def validation_timed(self) -> Iterator[None]:
        """Whatever happens inside is a validation."""
        began = self.spent
        yield
        took = self.spent - began
        self.validating += took
        self.validation = max(self.validation, took)

    def state_dict(self) -> dict[str, Any]:
        return {
            "spent": self.spent,
            "validation": self.validation,
            "validating": self.validating,
            "share": self.share,
            "limit": self.limit,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; under another limit the share is told anew."""
        self.before, self.validation, self.validating = state["spent"], state["validation"], state["validating"]
        self.share = state["share"] if state["limit"] == self.limit else 0.0
