"""The `inputs:` of a config: named groups of columns, each with the kind and the encoder it may be given.

A column is named exactly or by a pattern (`*`, `?`, `[ab]`); a leading minus takes columns out: `["*", "-education"]`. Patterns
never match a target, nor a column that another input names exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cotrain.core.errors import nearest, unknown
from cotrain.data.infer import ENCODED
from cotrain.encoders.gallery import ENCODERS
from cotrain.recipe.problems import Keys
from cotrain.recipe.reader import Choice, Reader
from cotrain.recipe.values import shown

EVERY = "*"
"""Every column that is no target, even where a column bears this name."""

ONLY = "table"
"""The name of the one input of a config that lists columns instead of naming inputs."""


@dataclass(frozen=True)
class InputSettings:
    """One named input. columns: names and patterns. kind: for all its columns, or None where each is inferred. encoder: its own."""

    columns: tuple[str, ...] = ("*",)
    kind: str | None = None
    encoder: Choice | None = None


def read_inputs(reader: Reader, tree: Any, keys: Keys) -> dict[str, InputSettings]:
    """{name: input} from `["*"]`, from a word, or from a mapping of named inputs."""
    if isinstance(tree, str | list | tuple):
        columns = _columns(reader, tree, keys)
        return {ONLY: InputSettings(columns)} if columns else {}
    given = reader.mapping(tree, keys, "a list of columns or a mapping of named inputs", 'inputs: ["*"]')
    inputs: dict[str, InputSettings] = {}
    for name, part in (given or {}).items():
        here = (*keys, name)
        if isinstance(part, InputSettings):
            inputs[name] = part
            continue
        if isinstance(part, str | list | tuple):
            inputs[name] = InputSettings(_columns(reader, part, here))
            continue
        settings = reader.mapping(part, here, "the columns of this input", f"{name}: {{columns: [{name}]}}")
        if settings is None:
            continue
        reader.known(settings, here, ("columns", "kind", "encoder"))
        kind = settings.get("kind")
        if kind is not None:
            read_kind(reader, kind, (*here, "kind"), ENCODED)
        encoder = reader.choice(ENCODERS, settings["encoder"], (*here, "encoder")) if "encoder" in settings else None
        columns = _columns(reader, settings.get("columns", [name]), (*here, "columns"))
        inputs[name] = InputSettings(columns, kind, encoder)
    if given is not None and not inputs:
        reader.found(keys, 'expected at least one input, got none; write for example `inputs: ["*"]`')
    return inputs


def read_kind(reader: Reader, tree: Any, keys: Keys, known: Sequence[str]) -> None:
    """Note a kind of column that is not known; `date(%d/%m/%Y)` says how dates are written."""
    if not isinstance(tree, str):
        reader.found(keys, f"expected a kind of column, got {shown(tree)}; write one of: {', '.join(known)}")
    elif tree.partition("(")[0] not in known:
        reader.found(keys, unknown("kind of column", tree, known))


def _columns(reader: Reader, tree: Any, keys: Keys) -> tuple[str, ...]:
    if isinstance(tree, str):
        return (tree,)
    value = reader.value(Sequence[str], tree, keys)
    if isinstance(tree, list | tuple) and not tree:
        reader.found(
            keys, 'expected at least one column, got an empty list; write ["*"] for every column that is no target'
        )
    return tuple(value) if isinstance(value, list | tuple) else ()


def assign(
    inputs: Mapping[str, InputSettings], columns: Sequence[str], targets: Iterable[str], others: Iterable[str] = ()
) -> tuple[dict[str, list[str]], list[tuple[Keys, str]]]:
    """Which columns of a table each input takes, and what is wrong with what the config says: (keys below `inputs`, sentence).

    columns: of the table. targets: columns that are predicted. others: those that serve another purpose (row weights, the split).

    >>> assign({"table": InputSettings(("*", "-c"))}, ["a", "b", "c", "y"], ["y"])[0]
    {'table': ['a', 'b']}
    """
    predicted = set(targets)
    taken = predicted | set(others)
    exact = {
        column: name
        for name, given in inputs.items()
        for column in given.columns
        if column in columns and column != EVERY and not (column.startswith("-") and column[1:] in columns)
    }
    found: dict[str, list[str]] = {}
    problems: list[tuple[Keys, str]] = []
    for name, given in inputs.items():
        picked: dict[str, None] = {}
        for index, pattern in enumerate(given.columns):
            minus = pattern.startswith("-") and pattern not in columns
            word = pattern[1:] if minus else pattern
            one = word in columns and word != EVERY
            meant = matches(word, columns)
            if not meant:
                problems.append(((name, "columns", index), no_column(word, columns)))
            elif minus:
                for column in meant:
                    picked.pop(column, None)
            elif one:
                if word in taken:
                    problems.append(
                        (
                            (name, "columns", index),
                            f"'{word}' {'is among the targets' if word in predicted else 'is for the split or a weight'}, so it cannot be "
                            "an input; take it out of one of the two",
                        )
                    )
                elif exact.get(word, name) != name:
                    problems.append(
                        (
                            (name, "columns", index),
                            f"column '{word}' already belongs to the input '{exact[word]}'; name it once",
                        )
                    )
                else:
                    picked[word] = None
            else:
                picked.update(
                    (column, None) for column in meant if column not in taken and exact.get(column, name) == name
                )
        others = {column for earlier in found.values() for column in earlier}
        found[name] = [column for column in picked if column not in others]
        if not found[name] and not any(keys[0] == name for keys, _ in problems):
            problems.append(((name,), f"no column is left for input '{name}'; the table has: {', '.join(columns)}"))
    return found, problems


def matches(word: str, columns: Sequence[str]) -> list[str]:
    """The columns that a name or a pattern means; a leading minus aside.

    >>> matches("a*", ["ab", "b"]), matches("-b", ["ab", "b"])
    (['ab'], ['b'])
    """
    word = word[1:] if word.startswith("-") and word not in columns else word
    return [word] if word in columns and word != EVERY else [column for column in columns if fnmatchcase(column, word)]


def no_column(word: str, columns: Sequence[str]) -> str:
    """The sentence for a column, or a pattern of columns, that the table does not have."""
    guess = nearest(word, columns)
    table = f"the table has: {', '.join(columns[:40])}{' ...' if len(columns) > 40 else ''}"
    hint = f"did you mean '{guess}'?" if guess else table
    what = "no column matches the pattern" if any(sign in word for sign in "*?[") else "there is no column"
    return f"{what} '{word}' in the table; {hint}"
