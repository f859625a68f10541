"""Settings of samplers and pruners, checked at the door."""

from __future__ import annotations

from cotrain.core.errors import ConfigError


def at_least(where: str, value: int, least: int) -> None:
    """Raises ConfigError unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{where}: a whole number of at least {least} is expected, got {value!r}")
