"""Refuses a setting that is none of the choices, out of range, or read by nobody."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cotrain.core.errors import ConfigError, unknown


class SettingError(ConfigError, ValueError):
    """A setting out of range; also a ValueError, so that a validator can collect it with its path."""


def choice(what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingError(unknown(what, str(value), choices))


def within(what: str, value: float, low: float, high: float = float("inf"), *, open_low: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SettingError(f"{what} must be a number, got {value!r}; write it without quotes")
    if not (value > low if open_low else value >= low) or not value <= high:
        bound = f"above {low:g}" if open_low else f"at least {low:g}"
        bound += "" if high == float("inf") else f" and at most {high:g}"
        raise SettingError(f"{what} must be {bound}, got {value:g}; choose a value in that range")


def whole(what: str, value: int, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingError(f"{what} must be a whole number, got {value!r}; write it without a point or quotes")
    within(what, value, low)


def idle(what: str, settings: Any, readers: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a setting that was changed and that the one of this name does not read. readers: {setting: names that read it}."""
    for part in dataclasses.fields(settings):
        names = readers.get(part.name)
        value = getattr(settings, part.name)
        if names is not None and settings.name not in names and value != part.default:
            raise SettingError(
                f"{what}.{part.name} is read by {' and '.join(names)} only, got {value!r} for '{settings.name}'; "
                f"take it out, or choose another {what}"
            )
