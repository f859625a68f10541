"""A config with open values as a space to search, and what a point of that space makes of it.

Every `{search: ...}` becomes a parameter named by the way to it (`train.optimizer.lr`). An option of a choice may be a whole part of the config
with open values of its own; these are there only where that option is taken. `default` beside a range or a choice is the value to begin with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cotrain.core.errors import ConfigError
from cotrain.recipe.problems import ConfigProblems, Keys, Origin, Place, Problem, dotted
from cotrain.recipe.searches import resolved, searches
from cotrain.search.domains import Choice, Domain, domain_from_json, text_of
from cotrain.search.space import Parameter, Parameters, Space


@dataclass(frozen=True)
class Open:
    """Where one open value stands. name: its parameter's. options: {label: part of the config} of a choice whose options are such parts.

    inner: {label: open values inside that option}, keys counted from the option.
    """

    name: str
    options: Mapping[Any, Any] = field(default_factory=dict)
    inner: Mapping[Any, Mapping[Keys, Open]] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenConfig:
    """A raw config tree with open values, the space of these, and the values it would begin with (None: it does not say all).

    ways: {parameter: the path of the value it is of}.

    >>> tree = {"sharing": {"search": {"choice": ["hard", {"name": "mmoe", "experts": {"search": {"low": 2, "high": 8}}}]}}}
    >>> found = opened(tree)
    >>> [parameter.name for parameter in found.space.parameters]
    ['sharing', 'sharing.experts']
    >>> found.closed({"sharing": "mmoe", "sharing.experts": 4})
    {'sharing': {'name': 'mmoe', 'experts': 4}}
    """

    tree: Any
    space: Space
    places: Mapping[Keys, Open]
    default: Parameters | None
    ways: Mapping[str, str] = field(default_factory=dict)

    def closed(self, parameters: Mapping[str, Any]) -> Any:
        """The tree with a value for everything that was open."""
        return _closed(self.tree, self.places, parameters)

    def origin(self, origin: Origin, parameters: Mapping[str, Any]) -> Origin:
        """Where the values of the closed tree were written: those of an option where the option is. origin: of the tree."""
        moved: dict[Keys, Keys] = {}
        _moved(self.places, parameters, (), (), moved)

        def placed(known: Mapping[Keys, Place]) -> dict[Keys, Place]:
            out = {
                keys: place
                for keys, place in known.items()
                if not any(_below(keys, (*here, "search")) for here in moved)
            }
            for here, there in moved.items():
                out |= {(*here, *keys[len(there) :]): place for keys, place in known.items() if _below(keys, there)}
            return out

        return Origin(origin.file, placed(origin.keys), placed(origin.values))


def opened(tree: Any, origin: Origin | None = None) -> OpenConfig:
    """The open values of a tree. Raises ConfigProblems naming each that cannot be searched, with its place; ConfigError if there is none."""
    reading = _Reading(origin or Origin())
    places = reading.places(tree, (), {})
    if reading.problems:
        where = reading.origin.file or "the config"
        raise ConfigProblems(reading.origin.ordered(reading.problems), where)
    if not reading.parameters:
        raise ConfigError(
            "nothing in the config is open; write for example `lr: {search: {low: 1e-4, high: 1e-2, log: true}}`, or tune with --auto"
        )
    space = Space(tuple(reading.parameters))
    return OpenConfig(tree, space, places, _default(space, reading.defaults), reading.ways)


class _Reading:
    """Goes through a tree and gathers parameters, defaults and problems."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.parameters: list[Parameter] = []
        self.defaults: dict[str, Any] = {}
        self.ways: dict[str, str] = {}
        self.problems: list[Problem] = []

    def places(self, tree: Any, above: Keys, when: Mapping[str, tuple[Any, ...]]) -> dict[Keys, Open]:
        """{way from here: open value} of a part of the config that lies at `above`."""
        found: dict[Keys, Open] = {}
        for keys, asked in searches(tree).items():
            way = (*above, *keys)
            try:
                found[keys] = self._one(way, asked, when)
            except ConfigError as error:
                self.problems.append(self.origin.problem(way, str(error)))
        return found

    def _one(self, way: Keys, asked: Any, when: Mapping[str, tuple[Any, ...]]) -> Open:
        settings = dict(asked) if isinstance(asked, Mapping) else asked
        begins = isinstance(settings, dict) and "default" in settings
        default = settings.pop("default") if begins else None
        options: dict[Any, Any] = {}
        if isinstance(settings, dict) and isinstance(settings.get("choice"), list | tuple):
            options = labels(settings["choice"])
            settings["choice"] = list(options)
        domain = domain_from_json(settings)
        name = self._name(dotted(way), domain, when)
        self.ways[name] = dotted(way)
        if begins:
            label = next(
                (one for one, part in options.items() if text_of(part) == text_of(default) or one == default), None
            )
            chosen = label if options else default
            if not domain.holds(chosen):
                raise ConfigError(f"expected a default that can be chosen, {domain}, got {default!r}")
            self.defaults[name] = chosen
        if isinstance(domain, Choice):
            inner = {
                label: self.places(part, way, {**when, name: (label,)})
                for label, part in options.items()
                if searches(part)
            }
            return Open(name, options, inner)
        return Open(name)

    def _name(self, name: str, domain: Domain, when: Mapping[str, tuple[Any, ...]]) -> str:
        """A name for the parameter: one that stands in several options in the same way is one parameter."""
        for place, known in enumerate(self.parameters):
            if known.name == name:
                if known.domain == domain and list(known.when) == list(when) and _differs_last(known.when, when):
                    last = list(when)[-1]
                    both = {**when, last: (*known.when[last], *when[last])}
                    self.parameters[place] = Parameter(name, domain, both)
                    return name
                label = list(when.values())[-1][0] if when else len(self.parameters)
                return self._name(f"{name} ({label})", domain, when)
        self.parameters.append(Parameter(name, domain, dict(when)))
        return name


def _differs_last(one: Mapping[str, tuple[Any, ...]], other: Mapping[str, tuple[Any, ...]]) -> bool:
    """Whether two conditions are the same but for what the last choice took."""
    return bool(one) and all(one[key] == other[key] for key in list(one)[:-1])


def labels(options: list[Any] | tuple[Any, ...]) -> dict[Any, Any]:
    """{label: option}: plain values stand for themselves, parts of a config for their name, or for their text where that is taken.

    >>> labels(["hard", {"name": "mmoe", "experts": 4}, {"name": "mmoe", "experts": 8}])
    {'hard': 'hard', 'mmoe': {'name': 'mmoe', 'experts': 4}, '{"experts": 8, "name": "mmoe"}': {'name': 'mmoe', 'experts': 8}}
    """
    found: dict[Any, Any] = {}
    for option in options:
        plain = not isinstance(option, Mapping | list | tuple)
        label = option if plain else option.get("name") if isinstance(option, Mapping) else None
        if label is None or (not plain and label in found):
            label = text_of(option) if option is not None else None
        found[label] = option
    return found


def _default(space: Space, defaults: Mapping[str, Any]) -> Parameters | None:
    """The values to begin with, those that are there under these choices; None unless all are said."""
    try:
        return space.settle(lambda parameter: defaults[parameter.name])
    except KeyError:
        return None


def _closed(tree: Any, places: Mapping[Keys, Open], parameters: Mapping[str, Any]) -> Any:
    values: dict[Keys, Any] = {}
    for keys, one in places.items():
        value = parameters[one.name]
        if value in one.options if one.options else False:
            value = _closed(one.options[value], one.inner.get(value, {}), parameters)
        values[keys] = value
    return resolved(tree, values)


def _below(keys: Keys, above: Keys) -> bool:
    return keys[: len(above)] == above


def _moved(
    places: Mapping[Keys, Open], parameters: Mapping[str, Any], here: Keys, there: Keys, moved: dict[Keys, Keys]
) -> None:
    """Note {keys of a chosen option in the closed tree: its keys in the open one}, of options inside options as well."""
    for keys, one in places.items():
        options = list(one.options)
        value = parameters[one.name]
        if value in options:
            closed, opened = (*here, *keys), (*there, *keys, "search", "choice", options.index(value))
            moved[closed] = opened
            _moved(one.inner.get(value, {}), parameters, closed, opened, moved)
