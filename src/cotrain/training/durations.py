"""Lengths of time as people write them."""

from __future__ import annotations

import re

from cotrain.training.refuse import SettingError, within

_WORDS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)(?:m|min))?(?:(\d+(?:\.\d+)?)s?)?")


def seconds_in(what: str, time: float | str) -> float:
    """Seconds in a number, or in words. Raises SettingError for anything else.

    >>> seconds_in("time_limit", "90s"), seconds_in("time_limit", "2m"), seconds_in("time_limit", "1h 30m"), seconds_in("time_limit", 5)
    (90.0, 120.0, 5400.0, 5.0)
    """
    if isinstance(time, str):
        parts = _WORDS.fullmatch(re.sub(r"\s+", "", time.lower()))
        if parts is None or not any(parts.groups()):
            raise SettingError(f"{what} must be seconds, or words such as 90s, 2m or 1h30m, got {time!r}")
        hours, minutes, seconds = (float(part or 0) for part in parts.groups())
        time = 3600 * hours + 60 * minutes + seconds
    within(what, time, 0.0, open_low=True)
    return float(time)
