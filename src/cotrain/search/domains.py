"""What one setting may be: a number from a range, a whole number from a range, one of several plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from cotrain.core.errors import ConfigError, unknown

KINDS = ("float", "integer", "choice")


@dataclass(frozen=True, kw_only=True)
class Float:
    """A number in [low, high]; with `log`, evenly spread over its logarithm (low > 0).

    >>> Float(low=1e-4, high=1e-2, log=True).at(0.5)
    0.001
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_range("float", self.low, self.high, self.log)

    def at(self, place: float) -> float:
        """The value at a place in [0, 1]."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + place * (high - low))
        else:
            value = self.low + place * (self.high - self.low)
        return float(min(max(float(f"{value:.15g}"), self.low), self.high))

    def place(self, value: float) -> float:
        """Where in [0, 1] a value lies: the inverse of `at`."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return min(max((math.log(value) - low) / (high - low), 0.0), 1.0)
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def holds(self, value: Any) -> bool:
        """Whether a value may be chosen."""
        return _is_number(value) and self.low <= value <= self.high

    def to_json(self) -> dict[str, Any]:
        return {"kind": "float", "low": self.low, "high": self.high} | ({"log": True} if self.log else {})

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Integer:
    """One of low, low + step, ..., not above high; with `log`, evenly spread over its logarithm (low > 0, step 1).

    >>> Integer(low=1, high=8, step=3).count, [Integer(low=1, high=8, step=3).nth(i) for i in range(3)]
    (3, [1, 4, 7])
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        for name, value in (("low", self.low), ("high", self.high), ("step", self.step)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(f"an integer range needs a whole number for `{name}`, got {value!r}")
        _check_range("integer", self.low, self.high, self.log)
        if self.step < 1:
            raise ConfigError(f"an integer range needs step >= 1, got {self.step}")
        if self.log and self.step != 1:
            raise ConfigError(f"an integer range is either logarithmic or in steps, got log and step {self.step}")
        if self.count < 2:
            raise ConfigError(
                f"a step of {self.step} from {self.low} to {self.high} leaves one value; write {self.low} instead of a search"
            )

    @property
    def count(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    def nth(self, index: int) -> int:
        """The value at a position, 0 the lowest."""
        return self.low + self.step * index

    def index(self, value: int) -> int:
        """The position of a value."""
        return (value - self.low) // self.step

    def at(self, place: float) -> int:
        """The value at a place in [0, 1]: each has an interval of its own, of equal length (with `log`, of its logarithm's)."""
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(max(round(math.exp(low + place * (high - low))), self.low), self.high)
        return self.nth(min(int(place * self.count), self.count - 1))

    def place(self, value: int) -> float:
        """The middle of a value's interval."""
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return (math.log(value) - low) / (high - low)
        return (self.index(value) + 0.5) / self.count

    def holds(self, value: Any) -> bool:
        """Whether a value may be chosen."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"kind": "integer", "low": self.low, "high": self.high}
        return plain | ({"step": self.step} if self.step != 1 else {}) | ({"log": True} if self.log else {})

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step != 1 else ""
        return f"a whole number from {self.low} to {self.high}{steps}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several plain values: words, numbers, true, false, null, lists or mappings of these. No order is meant.

    Values count as the same when their JSON is the same: 1, 1.0 and true are three options.
    """

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if len(self.options) < 2:
            raise ConfigError(
                f"a choice needs two options or more, got {list(self.options)!r}; write the value instead of a search"
            )
        texts = [text_of(option) for option in self.options]
        for position, text in enumerate(texts):
            if text in texts[:position]:
                raise ConfigError(f"a choice names each option once, got {text} twice")

    def index(self, value: Any) -> int:
        """The position of an option. Raises ConfigError for a value that is none."""
        text = text_of(value)
        for position, option in enumerate(self.options):
            if text_of(option) == text:
                return position
        known = [option if isinstance(option, str) else text_of(option) for option in self.options]
        raise ConfigError(unknown("option", value if isinstance(value, str) else text, known))

    def holds(self, value: Any) -> bool:
        """Whether a value is one of the options."""
        return text_of(value) in {text_of(option) for option in self.options}

    def to_json(self) -> dict[str, Any]:
        return {"kind": "choice", "choice": list(self.options)}

    def __str__(self) -> str:
        return f"one of {', '.join(map(text_of, self.options))}"


Domain = Float | Integer | Choice


def domain_from_json(plain: Any) -> Domain:
    """The domain a mapping stands for: `{low, high, log}`, `{low, high, step}`, `{choice: [...]}`, or with `kind` said.

    Without `kind` a range whose ends are whole numbers is an integer's. Raises ConfigError saying what was expected.

    >>> domain_from_json({"low": 2, "high": 8}), domain_from_json({"low": 0.0, "high": 1})
    (Integer(low=2, high=8, step=1, log=False), Float(low=0.0, high=1, log=False))
    """
    if not isinstance(plain, Mapping):
        raise ConfigError(f"a search is {{low: ..., high: ...}} or {{choice: [...]}}, got {plain!r}")
    settings = dict(plain)
    kind = settings.pop("kind", None)
    if kind is None:
        whole = all(isinstance(settings.get(end), int) for end in ("low", "high"))
        kind = "choice" if "choice" in settings else "integer" if whole else "float"
    if kind not in KINDS:
        raise ConfigError(unknown("kind of search", str(kind), KINDS))
    known = {"float": ("low", "high", "log"), "integer": ("low", "high", "step", "log"), "choice": ("choice",)}[kind]
    for key in settings:
        if key not in known:
            raise ConfigError(unknown(f"key of a search for {kind}", str(key), known))
    for key in ("choice",) if kind == "choice" else ("low", "high"):
        if key not in settings:
            raise ConfigError(f"a search for {kind} needs `{key}`, got {plain!r}")
    if kind == "choice":
        if not isinstance(settings["choice"], list | tuple):
            raise ConfigError(f"a choice needs a list of options, got {settings['choice']!r}")
        return Choice(options=tuple(settings["choice"]))
    return Integer(**settings) if kind == "integer" else Float(**settings)


def text_of(value: Any) -> str:
    """A plain value as the one JSON text it has. Raises ConfigError for anything that is none."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        raise ConfigError(
            f"a plain value is expected (words, finite numbers, true, false, null, lists, mappings), got {value!r}"
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(cast(float, value))


def _check_range(kind: str, low: Any, high: Any, log: Any) -> None:
    for name, value in (("low", low), ("high", high)):
        if not _is_number(value):
            raise ConfigError(f"the range of a search needs a finite number for `{name}`, got {value!r}")
    if not isinstance(log, bool):
        raise ConfigError(f"`log` of a search is true or false, got {log!r}")
    if low >= high:
        hint = "write the value instead of a search" if low == high else "are they the wrong way round?"
        raise ConfigError(f"the range of a search needs low < high, got low {low} and high {high}; {hint}")
    if log and low <= 0:
        raise ConfigError(f"a logarithmic {kind} range needs low > 0, got {low}")
