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
from cotrain.recipe.source_section import SourceSettings
from cotrain.recipe.targets import Target
from cotrain.recipe.tune_settings import COSTS, GAIN, TuneSettings
from cotrain.search.front import rule_of
from cotrain.training.settings import TrainSettings

WATCHED = ("gain", "loss")
"""What `train.monitor` may be, beside the name of a task."""


def check_sources(reader: Reader, tasks: Mapping[str, Target], sources: Sequence[str]) -> None:
    """Note every task whose source is not there or not said, and every source that no task has labels in. sources: all names."""
    for name, target in tasks.items():
        if target.source is not None and not sources:
            reader.found(
                ("tasks", name, "source"),
                "the config has one table only (data); take `source` out, or name the tables under `sources`",
            )
        elif target.source is not None and target.source not in sources:
            reader.found(("tasks", name, "source"), unknown("source", target.source, sources))
        elif target.source is None and len(sources) > 1:
            some = sources[0]
            reader.found(
                ("tasks", name),
                f"expected the source that holds its labels, got none; there are several ({', '.join(sources)}): add for example "
                f"`source: {some}`",
            )
    used = {target.source for target in tasks.values()}
    for source in sources if len(sources) > 1 and None not in used else ():
        if source not in used:
            reader.found(
                ("sources", source),
                "expected a source that a task has labels in, but no task does; take it out",
                at_key=True,
            )


def check_inputs(
    reader: Reader,
    tasks: Mapping[str, Target],
    inputs: Mapping[str, InputSettings],
    sources: Mapping[str, SourceSettings],
) -> None:
    """Note what `check_targets_among_inputs` and `check_task_inputs` find, source by source where there are several."""
    common = {name: one for name, one in tasks.items() if target_inputs(one, sources) is None}
    check_task_inputs(reader, common, inputs)
    for source in list(sources) or [""]:
        ours = {name: one for name, one in common.items() if one.source == source or not sources}
        check_targets_among_inputs(reader, ours, inputs)
    for name, one in sources.items():
        if one.inputs is not None:
            ours = {task: target for task, target in tasks.items() if target.source == name}
            check_task_inputs(reader, ours, one.inputs, ("sources", name, "inputs"))
            check_targets_among_inputs(reader, ours, one.inputs, ("sources", name, "inputs"))


def target_inputs(target: Target, sources: Mapping[str, SourceSettings]) -> Mapping[str, InputSettings] | None:
    """The inputs of a task's source where these are its own."""
    source = None if target.source is None else sources.get(target.source)
    return None if source is None else source.inputs


def check_targets_among_inputs(
    reader: Reader, tasks: Mapping[str, Target], inputs: Mapping[str, InputSettings], at: Keys = ("inputs",)
) -> None:
    """Note every target that is written out among the inputs (patterns leave targets out by themselves)."""
    predicted = {column: name for name, target in tasks.items() for column in target.columns}
    written = reader.origin.values
    for name, given in inputs.items():
        for index, column in enumerate(given.columns):
            if column in predicted:
                spots: list[Keys] = [(*at, name, "columns", index), (*at, name, index), (*at, index), (*at, name)]
                keys = next((spot for spot in spots if spot in written), at if name == ONLY else spots[-1])
                message = f"column '{column}' is the target of task '{predicted[column]}', so it cannot be an input"
                reader.found(keys, f"{message}; take it out of one")


def check_task_inputs(
    reader: Reader, tasks: Mapping[str, Target], inputs: Mapping[str, InputSettings], at: Keys = ("inputs",)
) -> None:
    """Note every input that a task reads and that is not there, and every input that no task reads."""
    before = len(reader.problems)
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
    if len(asked) < len(tasks) or plain or not tasks or len(reader.problems) > before:
        return
    read = {name for names in asked.values() for name in names}
    for name in inputs:
        if name not in read:
            reader.found(
                (*at, name),
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


def check_search(reader: Reader, tune: TuneSettings | None, tasks: Sequence[str]) -> None:
    """Note every objective, constraint and pick of a search that names what no trial measures."""
    if tune is None:
        return
    measured = [GAIN, *tasks, *COSTS]
    for place, name in enumerate(tune.objectives):
        if name not in measured:
            reader.found(("tune", "objectives", place), unknown("objective", name, measured))
    for one in tune.constraints:
        if one.name not in measured:
            reader.found(("tune", "constraints", one.name), unknown("number to bound", one.name, measured), at_key=True)
    try:
        rule = rule_of(tune.pick)
    except ConfigError as error:
        reader.found(("tune", "pick"), str(error))
        return
    known, what = (tune.objectives, "objective") if rule.word == "task" else (measured, "number to bound")
    if rule.name and rule.name not in known:
        reader.found(("tune", "pick"), unknown(what, rule.name, known))


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
