"""The `tasks:` of a config: what is to be predicted, each from its column or columns.

`income: {column: income, kind: binary}`; a bare word is {kind: word, column: <the key>}. The other keys are the settings of the
task's kind, checked against its constructor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from cotrain.core.errors import unknown
from cotrain.core.spec import Task
from cotrain.heads.gallery import HEADS
from cotrain.recipe.problems import Keys
from cotrain.recipe.reader import Choice, Reader, described, public_settings
from cotrain.recipe.values import shown
from cotrain.tasks.gallery import TASKS

BESIDE = ("kind", "column", "columns", "weight_column", "head", "inputs", "source")
"""Keys of a task that are no settings of its kind alone."""


@dataclass(frozen=True)
class Target:
    """One thing to predict. `settings`: of its kind, but for columns and head; `made`: the task where Python code handed one in.

    weight_column: a column of row weights >= 0 for this task alone, which multiply those of `data.weight`; None weighs all rows alike.
    inputs: the names of the inputs it reads, None for all. source: where its labels are; None where there is one table only.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    head: Choice | None = None
    made: Task | None = None
    weight_column: str | None = None
    inputs: tuple[str, ...] | None = None
    source: str | None = None


def read_tasks(reader: Reader, tree: Any, keys: Keys) -> dict[str, Target]:
    """{name: target} from a mapping of names to kinds or settings, or from a list of tasks made in Python."""
    if isinstance(tree, list | tuple) and tree and all(isinstance(part, Task) for part in tree):
        tree = {part.name: part for part in tree}
    example = "tasks: {income: binary, age: regression}"
    given = reader.mapping(tree, keys, "a mapping from each task's name to its kind", example)
    if given is not None and not given:
        reader.found(keys, f"expected at least one task, got none; write for example `{example}`")
    targets = {name: _target(reader, name, part, (*keys, name)) for name, part in (given or {}).items()}
    return {name: target for name, target in targets.items() if target is not None}


def _target(reader: Reader, name: str, tree: Any, keys: Keys) -> Target | None:
    if isinstance(tree, Task):
        return _of_task(name, tree)
    if isinstance(tree, Target):
        return tree
    word = isinstance(tree, str)
    given = (
        {"kind": tree}
        if word
        else reader.mapping(tree, keys, "the kind of the task, or a mapping", f"{name}: {{kind: binary}}")
    )
    if given is None:
        return None
    kinds = ", ".join(sorted(TASKS))
    if "kind" not in given:
        slip = next((key for key in ("type", "task") if key in given), None)
        hint = f"write `kind:` in place of `{slip}:`" if slip else f"add `kind:` with one of: {kinds}"
        reader.found(
            (*keys, slip) if slip else (*keys, "kind"),
            f"expected the kind of the task, got nothing; {hint}",
            at_key=True,
        )
        return None
    kind = given["kind"]
    if isinstance(kind, list | Mapping) or kind is None:
        reader.found((*keys, "kind"), f"expected the kind of the task, got {shown(kind)}; write one of: {kinds}")
        return None
    before = len(reader.problems)
    columns = _columns(reader, given, keys)
    weights = reader.value(str | None, given.get("weight_column"), (*keys, "weight_column"))
    reads = _inputs(reader, given, keys)
    source = reader.value(str | None, given.get("source"), (*keys, "source"))
    head = reader.choice(HEADS, given["head"], (*keys, "head")) if given.get("head") is not None else None
    cls = reader.named(TASKS, kind, keys if word else (*keys, "kind"))
    if cls is None:
        return None
    settings = {key: value for key, value in given.items() if key not in (*BESIDE, "loss")}
    checked = reader.settings(TASKS.what, kind, cls, settings, keys, also=(*BESIDE, "loss")) or {}
    losses: Mapping[str, Any] = getattr(cls, "losses", {})
    if isinstance(given.get("loss"), str) and given["loss"] not in losses:
        reader.found((*keys, "loss"), unknown("loss", given["loss"], sorted(losses)))
    if "loss" in given:
        checked["loss"] = given["loss"]
    task = reader.made(lambda sound: _made(cls, name, columns, sound), keys, reader.sound(checked, keys))
    if task is None or len(reader.problems) > before:
        return None
    return Target(
        name, kind, tuple(task.codec.columns), checked, head, weight_column=weights, inputs=reads, source=source
    )


def _of_task(name: str, task: Task) -> Target:
    """A task that Python code made, with those of its settings that are plain values, so that a stored run makes the same again."""
    cls = type(task)
    choice = described(TASKS, task)
    losses: Mapping[str, Any] = getattr(cls, "losses", {})
    known = public_settings(cls) if choice.settings else {}
    settings = {
        key: value
        for key, value in choice.settings.items()
        if key not in (*BESIDE, "loss") and value != known[key].default
    }
    used: Any = getattr(task.loss, "loss", task.loss)  # what waits for the training rows holds the loss itself
    for word, loss in losses.items():
        same: bool = dataclasses.is_dataclass(loss) and isinstance(used, type(loss))
        if used is loss or same:
            settings["loss"] = word
            settings |= {
                key: getattr(used, key)
                for key in known
                if key not in (*settings, "class_weights")
                and getattr(used, key, known[key].default) != known[key].default
            }
    head = None if task.head is None else described(HEADS, task.head)
    return Target(
        name, choice.name, tuple(task.codec.columns), settings, head, task, source=getattr(task, "source", None)
    )


def _made(cls: type, name: str, columns: tuple[str, ...] | None, settings: Mapping[str, Any]) -> Task:
    """The task itself, made to hear what its constructor thinks of the settings, and which columns it reads."""
    losses: Mapping[str, Any] = getattr(cls, "losses", {})
    given = {
        key: losses.get(value, value) if key == "loss" and isinstance(value, str) else value
        for key, value in settings.items()
    }
    if columns is not None and "columns" in public_settings(cls):
        given["columns"] = columns
    return cast(Task, cls(name, **given))


def _inputs(reader: Reader, given: Mapping[str, Any], keys: Keys) -> tuple[str, ...] | None:
    """The names of the inputs a task reads, each once; None for all."""
    tree = given.get("inputs")
    if tree is None:
        return None
    if isinstance(tree, str):
        return (tree,)
    value = reader.value(Sequence[str], tree, (*keys, "inputs"))
    if isinstance(tree, list | tuple) and not tree:
        reader.found(
            (*keys, "inputs"), "expected at least one input, got an empty list; leave it out for a task that reads all"
        )
    return tuple(dict.fromkeys(value)) if isinstance(value, list | tuple) else None


def _columns(reader: Reader, given: Mapping[str, Any], keys: Keys) -> tuple[str, ...] | None:
    """The columns of a task: `column: a`, `columns: [a, b]`, or None where the kind's own settings or the task's name say them."""
    if "column" in given and "columns" in given:
        reader.found(
            (*keys, "columns"), "expected either `column` or `columns`, got both; keep one of them", at_key=True
        )
        return ()
    key = "columns" if "columns" in given else "column"
    if key not in given:
        return None
    tree = given[key]
    if isinstance(tree, str | int) and not isinstance(tree, bool):
        return (str(tree),)
    if key == "column" and isinstance(tree, list | tuple):
        reader.found((*keys, key), f"expected the name of one column, got {shown(tree)}; write `columns:` for several")
        return ()
    value = reader.value(Sequence[str], tree, (*keys, key))
    if isinstance(tree, list | tuple) and not tree:
        reader.found((*keys, key), "expected at least one column, got an empty list; name the column to predict")
    return tuple(value) if isinstance(value, list | tuple) else ()
