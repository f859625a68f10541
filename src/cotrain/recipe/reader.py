"""Walks a config tree against dataclasses and galleries and gathers every problem on the way.

A dataclass is a section whose fields are its keys; a gallery is a set of words, each standing for a class whose keyword-only
arguments are its settings. What a constructor itself refuses becomes a problem at the key its message names.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union, get_args, get_origin

from cotrain.core.errors import CotrainError, unknown
from cotrain.core.gallery import Gallery, Setting, settings_of
from cotrain.recipe.nested import NESTED, is_nested, nested_gallery
from cotrain.recipe.problems import Keys, Origin, Problem, dotted
from cotrain.recipe.values import describe, judged, shown

T = TypeVar("T")


@dataclass(frozen=True)
class Choice:
    """A method chosen in a config: `name` in its gallery (or "package.module:Class") and its `settings`.

    `made`: the object itself where Python code handed one in; `name` and `settings` then describe it as far as they can.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    made: Any = None


class Reader:
    """Gathers problems. Every method answers the value read, or None after noting why there is none."""

    def __init__(
        self,
        origin: Origin,
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        self.origin = origin
        self.elsewhere: Mapping[str, str] = elsewhere or {}
        """Where a key belongs that is often written in the wrong place or under another name: {key: path}."""
        self.problems: list[Problem] = []
        self.words: dict[Keys, Keys] = {}
        """Keys that a bare word stands for, to where the word is."""

    def found(self, keys: Keys, message: str, *, at_key: bool = False) -> None:
        """Note a problem at `keys`."""
        self.problems.append(self.origin.problem(self.words.get(keys, keys), message, at_key=at_key))

    # --------------------------------------------------------------------------------------------------------- mappings

    def mapping(self, tree: Any, keys: Keys, what: str, example: str = "") -> Mapping[str, Any] | None:
        """`tree` as a mapping with words as keys."""
        if isinstance(tree, Mapping):
            return {str(key): value for key, value in tree.items()}
        hint = f"; write for example `{example}`" if example else ""
        if isinstance(tree, str) and re.search(r"\w:\S", tree):
            hint = "; a colon needs a space after it"
        elif isinstance(tree, str) and not keys and re.search(r"[,;\t].*[,;\t]", tree):
            hint = "; is this the data file instead of the config?"
        self.found(keys, f"expected {what}, got {shown(tree)}{hint}")
        return None

    def known(self, tree: Mapping[str, Any], keys: Keys, known: Collection[str], what: str = "key") -> None:
        """Note every key of `tree` that is not among `known`."""
        for key in tree:
            if key not in known:
                self.strange(key, keys, known, what)

    def strange(self, key: str, keys: Keys, known: Collection[str], what: str) -> None:
        """Note a key that is not among `known`, with the place it belongs to or the nearest known one."""
        place = self.elsewhere.get(key)
        section, _, last = place.rpartition(".") if place else ("", "", "")
        if place and section == dotted(keys):
            message = f"unknown key '{key}'; write it as '{last}'"
        elif place:
            message = f"unknown key '{key}' here; it belongs to '{place}'"
        else:
            message = unknown("key" if what == "key" else "setting", key, sorted(known))
        self.found((*keys, key), message if what == "key" else f"{what}: {message}", at_key=True)

    # --------------------------------------------------------------------------------------------------------- sections

    def section(
        self, cls: type[T], tree: Any, keys: Keys, *, word: str = "name", skip: Collection[str] = ()
    ) -> T | None:
        """An object of the dataclass `cls` from a mapping of its fields. A bare word stands for {`word`: word} where that is a field.

        `skip`: keys that are read elsewhere.
        """
        if isinstance(tree, cls):
            return tree
        before = len(self.problems)
        hints = typing.get_type_hints(cls, include_extras=True)
        parts = {part.name: part for part in dataclasses.fields(cls) if part.init}  # type: ignore[arg-type]
        if isinstance(tree, str) and word in parts:
            tree = {word: tree}
            self.words[(*keys, word)] = keys
        title = dotted_name(keys)
        given = self.mapping(tree, keys, f"a mapping with keys such as {', '.join(list(parts)[:3])}")
        if given is None:
            return None
        self.known(given, keys, {*parts, *skip})
        values: dict[str, Any] = {}
        for name, part in parts.items():
            if name in given:
                values[name] = self.value(hints[name], given[name], (*keys, name))
            elif part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING:
                self.found((*keys, name), f"expected {describe(hints[name])}, got nothing; add `{name}:` to {title}")
        made = self.made(lambda given: cls(**given), keys, self.sound(values, keys))
        return made if len(self.problems) == before else None

    def value(self, annotation: Any, tree: Any, keys: Keys) -> Any:
        """A value of the declared type; a dataclass among the types it admits is read as a section."""
        named = section_by_name(annotation)
        if named is not None:
            given = self.mapping(tree, keys, "a mapping with a name for each")
            return None if given is None else {key: self.value(named, one, (*keys, key)) for key, one in given.items()}
        kinds = _alternatives(annotation)
        sections = [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
        if sections and not any(isinstance(tree, kind) for kind in sections):
            if tree is None and type(None) in kinds:
                return None
            plain = [kind for kind in kinds if kind not in sections and kind is not type(None)]
            if isinstance(tree, Mapping) or (isinstance(tree, str) and str not in plain) or not plain:
                if isinstance(tree, bool) and type(None) in kinds:
                    self.found(
                        keys,
                        f"expected a mapping or null, got {shown(tree)}; write {'{} for the defaults' if tree else 'null to turn it off'}",
                    )
                    return None
                return self.section(sections[0], tree, keys)
        listed = _listed(kinds)
        if listed is not None and isinstance(tree, list | tuple):
            return tuple(self.section(listed, one, (*keys, place)) for place, one in enumerate(tree))
        value, findings = judged(annotation, tree)
        for inner, message in findings:
            self.found((*keys, *inner), message)
        return None if findings else value

    # -------------------------------------------------------------------------------------------------------- galleries

    def choice(self, gallery: Gallery, tree: Any, keys: Keys, *, skip: Collection[str] = ()) -> Choice | None:
        """The method a word or a mapping {name: word, its settings} stands for; an object is taken as it is.

        `skip`: keys that are read elsewhere.
        """
        if isinstance(tree, str):
            tree = {"name": tree}
        if tree is None or isinstance(tree, bool | int | float | list):
            some = ", ".join(sorted(gallery))
            self.found(keys, f"expected the name of a {gallery.what}, got {shown(tree)}; write one of: {some}")
            return None
        if not isinstance(tree, Mapping):
            return described(gallery, tree)
        given = {str(key): value for key, value in tree.items() if str(key) not in skip}
        name = given.pop("name", None)
        if name is None:
            some = ", ".join(sorted(gallery))
            self.found(
                (*keys, "name"), f"expected the name of a {gallery.what}, got nothing; add `name:` with one of: {some}"
            )
            return None
        before = len(self.problems)
        cls = self.named(gallery, name, (*keys, "name") if ((*keys, "name") in self.origin.values) else keys)
        if cls is None:
            return None
        settings = self.settings(gallery.what, name, cls, given, keys, also={"name", *skip})
        if settings is None:
            return None
        sound = self.sound(settings, keys)
        complete = all(one.name in sound for one in public_settings(cls).values() if one.required)
        if not _positional(cls) and complete:
            self.made(lambda given: cls(**_objects(cls, given)), keys, sound)
        return Choice(name, settings) if len(self.problems) == before else None

    def named(self, gallery: Gallery, name: Any, keys: Keys) -> type | None:
        """The class a word stands for."""
        if not isinstance(name, str):
            self.found(
                keys,
                f"expected the name of a {gallery.what}, got {shown(name)}; write one of: {', '.join(sorted(gallery))}",
            )
            return None
        try:
            return gallery[name]
        except CotrainError as error:
            self.found(keys, str(error))
        except Exception as error:  # noqa: BLE001  (a user's own module may raise anything while it is imported)
            module = name.partition(":")[0]
            self.found(
                keys,
                f"{gallery.what} '{name}': importing '{module}' failed with {type(error).__name__}: {error}; mend that file",
            )
        return None

    def settings(
        self,
        what: str,
        name: str,
        cls: type,
        given: Mapping[str, Any],
        keys: Keys,
        *,
        also: Collection[str] = (),
        without: Collection[str] = (),
    ) -> dict[str, Any] | None:
        """Settings checked against the keyword-only arguments of `cls`.

        also: further keys that stand beside them, for messages. without: keys not to be offered.
        """
        try:
            known = public_settings(cls)
        except (NameError, TypeError, ValueError) as error:
            self.found(
                keys,
                f"{what} '{name}': its constructor's annotations cannot be read ({error}); import the names they use",
            )
            return None
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key in known and is_nested(known[key].annotation):
                values[key] = self.choice(NESTED[known[key].annotation], value, (*keys, key))
            elif key in known:
                values[key] = self.value(known[key].annotation, value, (*keys, key))
            elif ":" in name and key in inspect.signature(cls).parameters:
                message = f"{what} '{name}': '{key}' is no setting, since only keyword-only arguments are; write it after a `*` there"
                self.found((*keys, key), message, at_key=True)
            else:
                self.strange(key, keys, {*known, *also} - set(without), f"{what} '{name}'")
        for setting in known.values():
            if setting.required and setting.name not in given:
                wanted = describe(setting.annotation)
                self.found(
                    (*keys, setting.name),
                    f"expected {wanted}, got nothing; {what} '{name}' needs the setting '{setting.name}'",
                )
        return values

    def sound(self, values: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
        """Those of the values below `keys` that no problem was noted for."""
        path = dotted(keys)
        bad = [problem.path for problem in self.problems if problem.path.startswith(path)]
        good = {}
        for name, value in values.items():
            here = dotted(self.words.get((*keys, name), (*keys, name)))
            if not any(one == here or one.startswith((f"{here}.", f"{here}[")) for one in bad):
                good[name] = value
        return good

    def made(self, make: Callable[[dict[str, Any]], T], keys: Keys, values: Mapping[str, Any]) -> T | None:
        """What `make` answers to the values. What it refuses is noted at the key its message names; the others are then tried again."""
        left = dict(values)
        refused = False
        while True:
            try:
                made = make(left)
            except (CotrainError, ValueError, TypeError) as error:
                message = str(error)
                places = {
                    name: match.start() for name in left if (match := re.search(rf"\b{re.escape(name)}\b", message))
                }
                here = (*keys, min(places, key=lambda name: places[name])) if places else keys
                path, _, rest = message.partition(": ")
                if refused and not places:
                    return None
                self.found(here, rest if path in (dotted(here), dotted(keys)) else message)
                refused = True
                if not places:
                    return None
                left.pop(str(here[-1]))
            else:
                return None if refused else made


def _objects(cls: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the methods among them made, only to hear what the outer constructor thinks of them."""
    return {
        key: _object(nested_gallery(cls, key), one) if isinstance(one, Choice) else one for key, one in settings.items()
    }


def _object(gallery: Gallery, choice: Choice) -> Any:
    if choice.made is not None:
        return choice.made
    cls = gallery[choice.name]
    return cls(**_objects(cls, choice.settings))


def public_settings(cls: type) -> dict[str, Setting]:
    """The settings of a class that a config may name: its keyword-only arguments, but for fields marked `{"setting": False}`."""
    private: set[str] = set()
    if dataclasses.is_dataclass(cls):
        private = {part.name for part in dataclasses.fields(cls) if part.metadata.get("setting") is False}
    return {name: setting for name, setting in settings_of(cls).items() if name not in private}


def described(gallery: Gallery, made: Any) -> Choice:
    """The choice an object stands for: the name of its class and the settings it still carries as plain values."""
    cls = type(made)
    names = {known: name for name, known in gallery.items()}
    name = names.get(cls, f"{cls.__module__}:{cls.__qualname__}")
    try:
        known = public_settings(cls)
        settings = {key: getattr(made, key) for key in known if _is_plain(getattr(made, key, made))}
        settings |= {
            key: described(NESTED[setting.annotation], getattr(made, key))
            for key, setting in known.items()
            if is_nested(setting.annotation) and isinstance(getattr(made, key, None), setting.annotation)
        }
    except (NameError, TypeError, ValueError):
        settings = {}
    return Choice(name, settings, made)


def dotted_name(keys: Keys) -> str:
    """A section's name in a sentence: its path, or "the config" for the outermost one."""
    return f"'{dotted(keys)}'" if keys else "the config"


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return value is None or isinstance(value, str | int | float | bool)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is typing.Annotated:
        return _alternatives(get_args(annotation)[0])
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def section_by_name(annotation: Any) -> type | None:
    """The dataclass of an annotation `Mapping[str, a dataclass]`, whose keys are names out of the data; None for any other."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not (isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2):
        return None
    held = arguments[1]
    return held if isinstance(held, type) and dataclasses.is_dataclass(held) else None


def _listed(kinds: tuple[Any, ...]) -> type | None:
    """The dataclass that a list of sections is made of, or None."""
    for kind in kinds:
        first = get_args(kind)[:1]
        if get_origin(kind) is tuple and isinstance(first[0], type) and dataclasses.is_dataclass(first[0]):
            return first[0]
    return None


def _positional(cls: type) -> bool:
    """Whether the constructor needs arguments that come from the data."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(each.kind in kinds and each.default is each.empty for each in inspect.signature(cls).parameters.values())
