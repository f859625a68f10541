"""The time a training has spent, and how much of its limit is left for steps.

    share = spent / (limit - reserve)        reserve = last validation + rows scored afterwards x seconds a scored row

Seconds a scored row are those of the last validation; without validation rows, a third of those a trained row takes (a forward pass is about
a third of a step), told from the first twenty steps on. What is done before the first step counts as spent and says nothing of the pace. The
share never falls, and a checkpoint holds it: a resumed training goes on where it stood, wherever that takes it. Two trainings under a time
limit differ as far as their machines do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

TELLING = 20
"""From so many steps on their pace is believed: the first ones are slow."""


class Clock:
    """limit: seconds, or None. scored: rows that are scored after the training, within the limit.

    >>> clock = Clock(100.0, scored=300)
    >>> clock.before, clock.validation, clock.validated = 35.0, 10.0, 150      # spent before a resumption; the last validation
    >>> round(clock.look(rows=0, steps=0), 2), clock.out
    (0.5, False)
    """

    def __init__(self, limit: float | None, *, scored: int = 0) -> None:
        self.limit, self.scored = limit, scored
        self.before, self.validation, self.validated = 0.0, 0.0, 0
        self.share = 0.0
        self.out = False
        self._since = time.monotonic()
        self._stepped, self._begun = 0.0, 0.0

    @property
    def spent(self) -> float:
        """Seconds of all training, resumed parts and validations included."""
        return self.before + time.monotonic() - self._since

    def begin(self) -> None:
        """From here on steps are made."""
        self._begun = self.spent

    @property
    def stepping(self) -> float:
        """Seconds since steps are made, resumed parts included."""
        return self._stepped + max(self.spent - self._begun, 0.0)

    def look(self, rows: int, steps: int) -> float:
        """The share of the time that is gone, in [0, 1]; 0 without a limit. rows, steps: how many have been trained on and made."""
        if self.limit is not None:
            spent, pace = self.spent, 0.0
            if self.validated:
                pace = self.validation / self.validated
            elif steps >= TELLING and rows:
                pace = self.stepping / rows / 3
            left = self.limit - self.validation - self.scored * pace
            self.out = spent >= left
            self.share = max(self.share, min(1.0, spent / left) if left > 0 else 1.0)
        return self.share

    @contextmanager
    def validation_timed(self) -> Iterator[None]:
        """Whatever happens inside is a validation; its rows are told by `validated`."""
        began = self.spent
        yield
        self.validation = self.spent - began

    def state_dict(self) -> dict[str, Any]:
        return {
            "spent": self.spent,
            "stepping": self.stepping,
            "validation": self.validation,
            "validated": self.validated,
            "share": self.share,
            "limit": self.limit,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; under another limit the share is told anew."""
        self.before, self._stepped = state["spent"], state["stepping"]
        self.validation, self.validated = state["validation"], state["validated"]
        self.share = state["share"] if state["limit"] == self.limit else 0.0
