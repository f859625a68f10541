"""Reads a YAML 1.2 file into plain values, and remembers where each key and value was written.

YAML 1.2: `1e-4` is a number, `no` and `off` are words, `010` is ten. Dates stay the words they were written as. A key that
appears twice in one mapping is a problem (the second would silently win), as is a key that is not a word or a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from cotrain.core.errors import nearest
from cotrain.recipe.problems import ConfigProblems, Keys, Origin, Place, Problem

_NUMBER_OR_SWITCH = re.compile(r"tag:yaml\.org,2002:(int|float|bool|null)$")


@dataclass(frozen=True)
class Source:
    """What a YAML text holds. `tree`: plain values; `origin`: where each was written; `problems`: keys written twice and the like."""

    tree: Any
    origin: Origin
    problems: tuple[Problem, ...] = ()


def read_yaml(path: str | Path) -> Source:
    """What the file holds. Raises ConfigProblems when it is missing, not text or not YAML."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = (
            f"expected a text file in UTF-8, got the byte {error.object[error.start]:#04x} at position {error.start}"
        )
        hint = "; is this the data file instead of the config?" if b"\0" in error.object else "; save it as UTF-8"
        raise ConfigProblems([Problem("", message + hint, str(path))], str(path)) from None
    except OSError as error:
        raise ConfigProblems([Problem("", _missing(file, error), str(path))], str(path)) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str | None = None) -> Source:
    r"""What a YAML text holds; an empty text gives an empty mapping. Raises ConfigProblems when it is not YAML.

    >>> source = parse_yaml("train:\n  lr: 1e-4\n  note: no\n")
    >>> source.tree
    {'train': {'lr': 0.0001, 'note': 'no'}}
    >>> source.origin.values["train", "lr"]
    Place(line=2, column=7)
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        raise ConfigProblems([_syntax(error, text, file)], file or "the config") from None
    except YAMLError as error:
        message = f"expected YAML, got something else ({' '.join(str(error).split())}); is this a text file?"
        raise ConfigProblems([Problem("", message, file)], file or "the config") from None
    walk = _Walk(yaml, file)
    tree = {} if node is None else walk.value(node, ())
    return Source(tree, walk.origin, tuple(walk.problems))


class _Walk:
    """Turns nodes into values, noting places on the way down."""

    def __init__(self, yaml: YAML, file: str | None) -> None:
        self.constructor = yaml.constructor
        self.keys: dict[Keys, Place] = {}
        self.values: dict[Keys, Place] = {}
        self.origin = Origin(file, self.keys, self.values)
        self.problems: list[Problem] = []
        self.open: list[Node] = []

    def found(self, keys: Keys, message: str, *, at_key: bool = False) -> None:
        self.problems.append(self.origin.problem(keys, message, at_key=at_key))

    def value(self, node: Node, keys: Keys) -> Any:
        self.values[keys] = _place(node)
        if node in self.open:
            self.found(keys, "expected a value, got an alias of the mapping it stands in; write it out")
            return None
        self.open.append(node)
        try:
            if isinstance(node, MappingNode):
                return self.mapping(node, keys)
            if isinstance(node, SequenceNode):
                return [self.value(child, (*keys, index)) for index, child in enumerate(node.value)]
            return self.scalar(cast(ScalarNode, node), keys)
        finally:
            self.open.pop()

    def mapping(self, node: MappingNode, keys: Keys) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.found(keys, "expected a word as a key, got a list or a mapping; a text in brackets needs quotes")
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                merged += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                continue
            here, place = (*keys, key), _place(key_node)
            first = self.keys.get(here)
            self.keys[here] = place
            if key in values and first is not None:
                self.found(
                    here, f"the key '{key}' is written twice, first on line {first.line}; keep one of them", at_key=True
                )
            values[key] = self.value(value_node, here)
        for source in merged:
            self.merge(source, keys, values)
        return values

    def merge(self, source: Node, keys: Keys, values: dict[str, Any]) -> None:
        """YAML's `<<: *name`: what the named mapping holds, under what is written here."""
        if not isinstance(source, MappingNode) or source in self.open:
            self.found(
                keys, "expected the alias of another mapping after `<<:`, got something else; write the keys out"
            )
            return
        for key_node, value_node in source.value:
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                self.merge(value_node, keys, values)
            elif key not in values:
                self.keys[(*keys, key)] = _place(key_node)
                values[key] = self.value(value_node, (*keys, key))

    def scalar(self, node: ScalarNode, keys: Keys) -> Any:
        tag = str(node.tag)
        if _NUMBER_OR_SWITCH.search(tag):
            return self.constructor.construct_object(node)
        if tag.startswith("!"):
            self.found(keys, f"expected a plain value, got one with the tag '{tag}'; put the text in quotes")
        return str(node.value)


def _place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _syntax(error: MarkedYAMLError, text: str, file: str | None) -> Problem:
    """What the parser stumbled over, with the slip that usually causes it."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    lines = text.splitlines()
    written = lines[line - 1] if line is not None and line <= len(lines) else ""
    said = str(error.problem or error.context or "the text cannot be read")
    if "\t" in written[: len(written) - len(written.lstrip())]:
        hint = "the line is indented with a tab: use spaces"
    elif "mapping values are not allowed" in said:
        if written.count(": ") + written.endswith(":") > 1:
            hint = "a text that holds ': ' needs quotes"
        else:
            hint = "the line before has no colon, or this one starts in another column than its neighbours"
    elif "could not find expected ':'" in said:
        hint = "a key needs a colon and a space after it (`epochs: 30`)"
    elif "expected <block end>" in said:
        hint = "the keys of one block must start in the same column"
    elif "expected ',' or" in said or "flow" in str(error.context):
        hint = "a bracket or brace is not closed, or a comma is missing before this place"
    elif "cannot start any token" in said:
        hint = "a text that starts with a sign such as @, % or ` needs quotes"
    elif "undefined alias" in said or "alias" in str(error.context):
        hint = "a text that starts with * or & needs quotes"
    elif "quoted scalar" in str(error.context):
        hint = "a quotation mark is not closed"
    else:
        hint = "see this line and the one before it"
    shown = f" in {written.strip()[:60]!r}" if written.strip() else ""
    return Problem("", f"expected YAML, got something else{shown} ({said}); {hint}", file, line, column)


def _missing(file: Path, error: OSError) -> str:
    """The sentence for a config that cannot be opened, with the file that was probably meant."""
    if file.is_dir():
        inside = sorted(entry.name for entry in file.iterdir() if entry.suffix in {".yaml", ".yml"})
        return (
            f"expected a config file, got a folder; name one of the files in it: {', '.join(inside) or 'none is YAML'}"
        )
    if isinstance(error, FileNotFoundError):
        folder = file.parent if file.parent.is_dir() else Path()
        around = sorted(entry.name for entry in folder.iterdir() if entry.suffix in {".yaml", ".yml"})
        guess = nearest(file.name, around)
        hint = f"did you mean '{guess}'?" if guess else "`cotrain init DATA --target COLUMN` writes one"
        return f"expected a config file, got a path where no file is; {hint}"
    return f"expected a config file that can be read, got: {error.strerror or error}"
