"""Judges single values of a config against the type a setting declares, in words a person understands.

Pydantic decides, strictly (a text is no number, `true` is no 1, a list may stand for a tuple, a whole number for a float); the
sentence is ours: what was expected, what came, and the slip that usually causes it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from cotrain.core.errors import nearest
from cotrain.recipe.problems import Keys

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "null",
    None: "null",
    Any: "anything",
}
_BOUNDS = {"gt": "greater than", "ge": "of at least", "lt": "less than", "le": "of at most"}


def describe(annotation: Any) -> str:
    """What a type admits, in words.

    >>> describe(tuple[int, ...])
    'a list of whole numbers'
    >>> describe(Literal["norm", "paper"] | None)
    "one of 'norm', 'paper', or null"
    """
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = [
            f"{words} {getattr(mark, key):g}"
            for mark in arguments[1:]
            for key, words in _BOUNDS.items()
            if getattr(mark, key, None) is not None
        ]
        return " and ".join(
            [describe(arguments[0]), *bounds[1:]]
            if not bounds
            else [f"{describe(arguments[0])} {bounds[0]}", *bounds[1:]]
        )
    if origin is Literal:
        options = ", ".join(repr(option) for option in arguments)
        return f"one of {options}" if len(arguments) > 1 else options
    if origin in (Union, types.UnionType):
        return ", or ".join(describe(argument) for argument in arguments)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
        return f"a list of {len(arguments)} values ({', '.join(describe(argument) for argument in arguments)})"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping from {_plural(arguments[0])} to {_plural(arguments[1])}"
    if isinstance(origin, type) and issubclass(origin, Collection):
        return f"a list of {_plural(arguments[0])}"
    if isinstance(annotation, type):
        return f"a {annotation.__name__}"
    return str(annotation)


def _plural(annotation: Any) -> str:
    words = describe(annotation)
    return {"a whole number": "whole numbers", "a number": "numbers", "a text": "texts"}.get(
        words, f"values, each {words}"
    )


def shown(value: Any) -> str:
    """What came, in words short enough for a sentence.

    >>> shown("fast"), shown(True), shown([1, 2])
    ("the text 'fast'", 'true', 'the list [1, 2]')
    """
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {_short(repr(value))}"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return f"the mapping {_short('{' + ', '.join(f'{key}: ...' for key in value) + '}')}"
    if isinstance(value, list | tuple):
        return f"the list {_short(repr(list(value)))}"
    return f"an object of {type(value).__module__}.{type(value).__qualname__}"


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."


@functools.cache
def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """The judge of a type; None where pydantic knows no way to judge it (the constructor itself must)."""
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError, NameError, TypeError):
        return None


def judged(annotation: Any, value: Any) -> tuple[Any, list[tuple[Keys, str]]]:
    """The value in the declared type, and what is wrong with it: (keys below the value, sentence), empty where all is well.

    >>> judged(tuple[int, ...], [256, 128])
    ((256, 128), [])
    >>> judged(float, "fast")[1]
    [((), "expected a number, got the text 'fast'")]
    """
    try:
        adapter = _adapter(annotation)
    except TypeError:  # an annotation that cannot be hashed
        adapter = None
    if adapter is None:
        return value, []
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):  # an object handed in from Python
        try:
            return adapter.validate_python(value), []
        except ValidationError:
            return value, [((), _sentence(annotation, value))]
    try:
        fit = adapter.validate_json(text, strict=True)
        return tuple(fit) if isinstance(fit, list) and get_origin(_held(annotation)) is not list else fit, []
    except ValidationError as error:
        words = _worded(annotation, value)
        if words is not value:
            return judged(annotation, words)
        held = _held(annotation) if isinstance(value, list | dict) else annotation
        if held is not annotation:
            return judged(held, value)
        return value, _findings(annotation, value, error)


def _worded(annotation: Any, value: Any) -> Any:
    """Whole numbers as texts where only texts fit: a label, a name or a column called 1."""
    if type(value) is int and str in _leaves(annotation):
        return str(value)
    held = _held(annotation)
    if isinstance(value, list) and _is_nested(held) and str in _leaves(get_args(held)[0]):
        words = [str(item) if type(item) is int else item for item in value]
        return value if words == value else words
    return value


def _findings(annotation: Any, value: Any, error: ValidationError) -> list[tuple[Keys, str]]:
    """One sentence an element of a list or mapping that does not fit, or one for the whole value."""
    annotation = _held(annotation) if isinstance(value, list | dict) else annotation
    if _is_nested(annotation) and isinstance(value, list | dict):
        found: dict[Keys, str] = {}
        for detail in error.errors():
            inner: list[str | int] = []
            part: Any = value
            key: Any
            for key in detail["loc"]:
                if not (
                    (isinstance(part, list) and isinstance(key, int) and key < len(part))
                    or (isinstance(part, dict) and key in part)
                ):
                    break
                part, inner = part[key], [*inner, key]
            if inner:
                expected = get_args(annotation)[-1 if isinstance(value, dict) else 0]
                sentence = _sentence(expected, part) if len(inner) == 1 else _sentence(annotation, value)
                found.setdefault(tuple(inner), sentence)
        if found:
            return list(found.items())
    return [((), _sentence(annotation, value))]


def _held(annotation: Any) -> Any:
    """The annotation without its null and its words."""
    if get_origin(annotation) in (Union, types.UnionType):
        others = (argument for argument in get_args(annotation) if argument is not type(None))
        rest = [argument for argument in others if get_origin(argument) is not Literal]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _is_nested(annotation: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return len(arguments) == 2 and arguments[1] is ...
    return isinstance(origin, type) and issubclass(origin, Collection)


def _sentence(annotation: Any, value: Any) -> str:
    return f"expected {describe(annotation)}, got {shown(value)}{_hint(annotation, value)}"


def _hint(annotation: Any, value: Any) -> str:
    """The slip that usually causes such a value, as the end of a sentence; empty where none is likely."""
    kinds = _leaves(annotation)
    options = [option for option in kinds if isinstance(option, str)]
    if isinstance(value, str):
        guess = nearest(value, options)
        if guess:
            return f"; did you mean '{guess}'?"
        if bool in kinds and value.lower() in {"yes", "on", "y", "no", "off", "n", "true", "false"}:
            return f"; write {'true' if value.lower() in {'yes', 'on', 'y', 'true'} else 'false'}"
        if value.lower() in {"none", "nil", "null"} and type(None) in kinds:
            return "; write null"
        if kinds & {int, float} and _as_number(value) is not None:
            return f"; write {value.strip().replace(',', '.')} without quotes" + (
                " and with a point" if "," in value else ""
            )
        if kinds & {int, float} and value.strip().endswith("%") and _as_number(value.strip()[:-1]) is not None:
            return f"; write {float(value.strip()[:-1]) / 100:g}"
    if isinstance(value, float) and int in kinds and float not in kinds and math.isfinite(value):
        return f"; write {round(value)}"
    if isinstance(value, int | float | str | bool) and _is_nested(_held(annotation)):
        return f"; put it in brackets: [{value}]"
    if value is None:
        return "; give it a value or leave the key out"
    return ""


def _as_number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _leaves(annotation: Any) -> set[Any]:
    """The plain types and literal words an annotation is made of, lists aside."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _leaves(arguments[0])
    if origin is Literal:
        return set(arguments)
    if origin in (Union, types.UnionType):
        return set().union(*(_leaves(argument) for argument in arguments))
    return {annotation} if isinstance(annotation, type) else set()


def as_plain(value: Any) -> Any:
    """A value of a config as YAML and JSON know it: tuples become lists, dataclasses mappings.

    >>> as_plain({"widths": (256, 128)})
    {'widths': [256, 128]}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: as_plain(getattr(value, part.name)) for part in dataclasses.fields(value) if part.init}
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_plain(item) for item in value]
    return value
