"""Whether the sections of a config agree: tasks named elsewhere must be there, and no target may be an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cotrain.core.errors import ConfigError, unknown
from cotrain.model.freezing import check_frozen
from cotrain.model.given import PARENTS
from cotrain.recipe.balance_settings import Balance
from cotrain.recipe.compare_settings import Variant
from cotrain.recipe.inputs import ONLY, InputSettings
from cotrain.recipe.problems import Keys
from cotrain.recipe.reader import Reader
from cotrain.recipe.targets import Target
from cotrain.training.settings import TrainSettings

WATCHED = ("gain", "loss")
"""What `train.monitor` may be, beside the name of a task."""


def check_targets_among_inputs(
    reader: Reader, tasks: Mapping[str, Target], inputs: Mapping[str, InputSettings]
) -> None:
    """Note every target that is written out among the inputs (patterns leave targets out by themselves)."""
    predicted = {column: name for name, target in tasks.items() for column in target.columns}
    written = reader.origin.values
    for name, given in inputs.items():
        for index, column in enumerate(given.columns):
            if column in predicted:
                spots: list[Keys] = [
                    ("inputs", name, "columns", index),
                    ("inputs", name, index),
                    ("inputs", index),
                    ("inputs", name),
                ]
                keys = next((spot for spot in spots if spot in written), ("inputs",) if name == ONLY else spots[-1])
                message = f"column '{column}' is the target of task '{predicted[column]}', so it cannot be an input"
                reader.found(keys, f"{message}; take it out of one")


def check_task_inputs(reader: Reader, tasks: Mapping[str, Target], inputs: Mapping[str, InputSettings]) -> None:
    """Note every input that a task reads and that is not there, and every input that no task reads."""
    asked = {name: target.inputs for name, target in tasks.items() if target.inputs is not None}
    plain = not inputs or set(inputs) == {ONLY}
    for task, names in asked.items():
        for place, name in enumerate(names):
            if name not in inputs:
                keys: Keys = ("tasks", task, "inputs", place)
                keys = keys if keys in reader.origin.values else keys[:-1]
                hint = (
                    f'the config names no inputs; write for example `inputs: {{{name}: [its columns], rest: ["*"]}}`'
                    if plain
                    else unknown("input", name, list(inputs))
                )
                reader.found(keys, hint)
    if len(asked) < len(tasks) or plain:
        return
    read = {name for names in asked.values() for name in names}
    for name in inputs:
        if name not in read:
            reader.found(
                ("inputs", name),
                f"expected an input that some task reads, but no task does; take '{name}' out, or add it to a task's `inputs`",
                at_key=True,
            )


def check_given_tasks(reader: Reader, tasks: Mapping[str, Target], written: Sequence[str]) -> None:
    """Note every conditional task whose parent is not there, is no yes/no task, or depends on it in turn. written: all names of tasks."""
    for name, target in tasks.items():
        parent = target.settings.get("given")
        if target.kind != "conditional" or not isinstance(parent, str):
            continue
        keys: Keys = ("tasks", name, "given")
        if parent not in written:
            reader.found(keys, unknown("task", parent, [one for one in written if one != name]))
            continue
        line = [name]
        while parent in tasks and parent not in line:
            kind = tasks[parent].kind
            if kind not in PARENTS:
                reader.found(
                    keys, f"expected a task of kind {' or '.join(PARENTS)}, got '{parent}', which is of kind '{kind}'"
                )
                break
            line.append(parent)
            parent = tasks[parent].settings.get("given", "")
        if parent == name:
            reader.found(keys, f"tasks cannot be given each other in a circle: {' given '.join([*line, name])}")


def check_named_tasks(
    reader: Reader,
    tasks: Sequence[str],
    balance: Balance | None,
    train: TrainSettings | None,
    variants: Mapping[str, Variant],
) -> None:
    """Note every task that `train.monitor`, `train.freeze` or a balancer's settings by task ({task: number}) name and that is not there."""
    places: list[tuple[Keys, Balance | None, TrainSettings | None]] = [((), balance, train)]
    for name, variant in variants.items():
        own = (
            None if variant.train is None or train is None or variant.train.monitor == train.monitor else variant.train
        )
        places.append((("compare", "variants", name), variant.balance, own))
    for keys, method, settings in places:
        if settings is not None and settings.monitor not in (*WATCHED, *tasks):
            reader.found((*keys, "train", "monitor"), unknown("task to watch", settings.monitor, [*WATCHED, *tasks]))
        if settings is not None:
            try:
                check_frozen(settings.freeze, tasks)
            except ConfigError as error:
                reader.found((*keys, "train", "freeze"), str(error).removeprefix("freeze: "))
        for setting, value in method.settings.items() if method is not None else ():
            for task in value if isinstance(value, Mapping) else ():
                if task not in tasks:
                    reader.found((*keys, "balance", setting, str(task)), unknown("task", str(task), tasks), at_key=True)
