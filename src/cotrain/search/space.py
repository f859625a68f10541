"""Which settings may vary together: parameters with their domains, some of them there under a choice alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cotrain.core.errors import ConfigError, unknown
from cotrain.search.domains import Choice, Domain, Integer, domain_from_json, text_of

Parameters = dict[str, Any]
"""{parameter: value}, those that are there alone, parents before what hangs on them."""


@dataclass(frozen=True)
class Parameter:
    """A name, what it may be, and where it is there at all.

    when: {choice: options}: the parameter exists only where each of these choices took one of the options; empty: always.
    """

    name: str
    domain: Domain
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        conditions = {choice: list(options) for choice, options in self.when.items()}
        return self.domain.to_json() | ({"when": conditions} if conditions else {})


@dataclass(frozen=True)
class Space:
    """The parameters of a search, checked: names once, conditions on choices that exist and on options these have, no circle.

    >>> space = Space.from_json({
    ...     "sharing": {"choice": ["hard", "mmoe"]},
    ...     "experts": {"low": 2, "high": 16, "when": {"sharing": "mmoe"}},
    ... })
    >>> [parameter.name for parameter in space.active({"sharing": "hard"})]
    ['sharing']
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if not self.parameters:
            raise ConfigError("a search needs something to vary, got no parameter")
        names = [parameter.name for parameter in self.parameters]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"each parameter of a search has a name of its own, got '{name}' twice")
        for parameter in self.parameters:
            self._check_conditions(parameter)
        object.__setattr__(self, "parameters", tuple(self._parents_first()))

    def _check_conditions(self, parameter: Parameter) -> None:
        domains = {other.name: other.domain for other in self.parameters}
        choices = [name for name, domain in domains.items() if isinstance(domain, Choice)]
        for name, options in parameter.when.items():
            where = f"{parameter.name}.when"
            if name not in domains:
                raise ConfigError(f"{where}: {unknown('choice', name, choices)}")
            domain = domains[name]
            if not isinstance(domain, Choice):
                raise ConfigError(
                    f"{where}: a condition needs a choice, and '{name}' is {domain}; the choices: {', '.join(choices) or 'none'}"
                )
            if not options:
                raise ConfigError(f"{where}.{name}: names no option, so that '{parameter.name}' is never there")
            for option in options:
                try:
                    domain.index(option)
                except ConfigError as error:
                    raise ConfigError(f"{where}.{name}: {error}") from None

    def _parents_first(self) -> Iterator[Parameter]:
        placed: set[str] = set()
        waiting = list(self.parameters)
        while waiting:
            ready = [parameter for parameter in waiting if set(parameter.when) <= placed]
            if not ready:
                names = ", ".join(parameter.name for parameter in waiting)
                raise ConfigError(f"conditions of a search run in a circle: {names}")
            yield from ready
            placed |= {parameter.name for parameter in ready}
            waiting = [parameter for parameter in waiting if parameter.name not in placed]

    @cached_property
    def by_name(self) -> Mapping[str, Parameter]:
        """{name: parameter}."""
        return {parameter.name: parameter for parameter in self.parameters}

    @property
    def conditional(self) -> bool:
        """Whether some parameter is there under a choice alone."""
        return any(parameter.when for parameter in self.parameters)

    @property
    def has_choices(self) -> bool:
        """Whether some parameter is a choice."""
        return any(isinstance(parameter.domain, Choice) for parameter in self.parameters)

    @property
    def size(self) -> int | None:
        """How many combinations there are, conditions left out of account; None for a range of numbers."""
        size = 1
        for parameter in self.parameters:
            domain = parameter.domain
            if isinstance(domain, Choice):
                size *= len(domain.options)
            elif isinstance(domain, Integer):
                size *= domain.count
            else:
                return None
        return size

    def settle(self, value_of: Callable[[Parameter], Any]) -> Parameters:
        """Values for the parameters that are there, asked for one by one, a choice before what hangs on it."""
        values: Parameters = {}
        for parameter in self.parameters:
            if is_there(parameter, values):
                values[parameter.name] = value_of(parameter)
        return values

    def active(self, values: Mapping[str, Any]) -> tuple[Parameter, ...]:
        """The parameters that are there under these values of the choices."""
        there: dict[str, Any] = {}
        found = []
        for parameter in self.parameters:
            if is_there(parameter, there):
                found.append(parameter)
                if parameter.name in values:
                    there[parameter.name] = values[parameter.name]
        return tuple(found)

    def checked(self, values: Mapping[str, Any]) -> Parameters:
        """The values in the space's order. Raises ConfigError for one that is missing, unknown, idle or out of its range."""
        for name in values:
            if name not in self.by_name:
                raise ConfigError(unknown("parameter", name, list(self.by_name)))
        found: Parameters = {}
        for parameter in self.parameters:
            name = parameter.name
            if not is_there(parameter, found):
                if name in values:
                    raise ConfigError(f"parameter '{name}' is not there under these choices; leave it out")
            elif name not in values:
                raise ConfigError(f"parameter '{name}' is missing: {parameter.domain} is expected")
            elif not parameter.domain.holds(values[name]):
                raise ConfigError(f"parameter '{name}' is {parameter.domain}, got {values[name]!r}")
            else:
                found[name] = values[name]
        return found

    def to_json(self) -> dict[str, Any]:
        return {parameter.name: parameter.to_json() for parameter in self.parameters}

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Space:
        """The space of `{name: domain}`, a domain with `when: {choice: option or [options]}` where it is conditional."""
        parameters = []
        for name, one in plain.items():
            settings = dict(one) if isinstance(one, Mapping) else one
            conditions = settings.pop("when", {}) if isinstance(settings, dict) else {}
            if not isinstance(conditions, Mapping):
                raise ConfigError(f"{name}.when: {{choice: option}} is expected, got {conditions!r}")
            try:
                domain = domain_from_json(settings)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from None
            when = {
                choice: tuple(options) if isinstance(options, list | tuple) else (options,)
                for choice, options in conditions.items()
            }
            parameters.append(Parameter(name, domain, when))
        return Space(tuple(parameters))


def is_there(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Whether a parameter exists under these values of the choices it hangs on."""
    return all(
        choice in values and text_of(values[choice]) in {text_of(option) for option in options}
        for choice, options in parameter.when.items()
    )
