"""Warm start: a network begins with the weights of an earlier run, wherever name and shape agree.

A weight is known by the layer it belongs to and not by what it means, so three things are looked at beside it: a head is taken for a task
of the same kind and columns only; where nothing is shared, a task's network from that task's; and columns that stand where others
stood are refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from cotrain.core.errors import RunError
from cotrain.core.naming import slot, unslot
from cotrain.core.spec import InputSpec, Task
from cotrain.model.compose import Model
from cotrain.model.counterparts import Sources, counterparts, specs_in
from cotrain.model.partition import Part
from cotrain.model.structure import described, sources_in
from cotrain.training.checkpoint import read_state

SHOWN = 8


@dataclass(frozen=True)
class WarmStart:
    """What a network took from a run, by the names of its own tensors: taken; fresh: those the run has none for; resized: those of
    another shape there. left: tensors of the run that no part of the network took.
    """

    run: str
    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    resized: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def new(self) -> tuple[str, ...]:
        """Everything that begins with values of its own."""
        return (*self.fresh, *self.resized)

    @property
    def note(self) -> str:
        """One sentence on it."""
        whole = len(self.taken) + len(self.fresh) + len(self.resized)
        said = [f"warm start from '{self.run}': {len(self.taken)} of {whole} tensors taken"]
        for what, names in (
            ("new here", self.fresh),
            ("of another shape there, so they begin anew", self.resized),
            ("in the run only", self.left),
        ):
            said += [f"{what}: {listed(names)}"] if names else []
        return "; ".join(said)


def warm_start_(model: Model, folder: Path | str) -> WarmStart:
    """Give a built network every weight of a run that has its name and shape.

    Raises RunError if the folder holds no finished run, nothing agrees, or columns stand where others stood in the run.
    """
    path = Path(folder)
    structure = stored_structure(path)
    begins = counterparts(
        sources_in(cast(Sequence[Part], model.parts), model.sources), Sources.from_structure(structure)
    )
    stored: Mapping[str, Any] = read_state(path / "model.safetensors")["model"]
    held = {name: one for name, one in stored.items() if isinstance(one, Tensor)}
    own = {name: one for name, one in model.state_dict().items() if isinstance(one, Tensor)}
    sources = sources_of(model, structure, held, begins)
    taken: list[str] = []
    fresh: list[str] = []
    resized: list[str] = []
    with torch.no_grad():
        for name, tensor in own.items():
            there = held.get(sources[name] or "")
            if there is None:
                fresh.append(name)
            elif there.shape != tensor.shape:
                resized.append(name)
            else:
                taken.append(name)
    used = {sources[name] for name in (*taken, *resized)}
    left = tuple(name for name in held if name not in used)
    found = WarmStart(str(path), tuple(taken), tuple(fresh), tuple(resized), left)
    if not taken:
        raise RunError(
            f"train.warm_start: no weight of '{path}' has the name and shape of one of this network; it has {listed(left)}, here are "
            f"{listed([*fresh, *resized])}. Use the encoder and sharing of that run, or leave warm_start out"
        )
    refuse_other_columns(path, specs_in(structure), model.specs, begins, found)
    with torch.no_grad():
        for name in taken:
            own[name].copy_(held[cast(str, sources[name])])
    return found


def stored_structure(path: Path) -> dict[str, Any]:
    """structure.json of a run folder. Raises RunError if there is none."""
    try:
        structure: dict[str, Any] = json.loads((path / "structure.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"train.warm_start: a folder with a finished run is expected, and '{path}' is none ({error}); give the folder that "
            "`cotrain train` wrote"
        ) from error
    return structure


def same_task(entry: Mapping[str, Any] | None, task: Task) -> bool:
    """Whether a task is what an entry of structure.json describes: its kind, its columns, as many outputs."""
    own = described(task)
    return entry is not None and all(entry.get(key) == own[key] for key in ("kind", "columns", "outputs"))


def sources_of(
    model: Model, structure: Mapping[str, Any], held: Iterable[str], begins: Mapping[str, str | None]
) -> dict[str, str | None]:
    """{tensor of the network: the run's tensor that means the same, whether it is there or not; None where nothing can}.

    begins: {source: the run's source whose encoder it begins with} (`counterparts`).
    """
    tasks = structure.get("tasks", {})
    known = list(tasks)
    parts_there = {name.split(".")[1] for name in held if name.startswith("parts.")}
    place: dict[str, str | None] = {}
    for index, part in enumerate(cast(Sequence[Part], model.parts)):
        if len(parts_there) <= 1:
            place[str(index)] = next(iter(parts_there), None)
        else:  # a network a task there, in the order of its tasks
            name = next((name for name in part.tasks if name in known), None)
            place[str(index)] = None if name is None else str(known.index(name))
    strange = {slot(name) for name, task in model.tasks.items() if not same_task(tasks.get(name), task)}
    found: dict[str, str | None] = {}
    for name in model.state_dict():
        first, second, *rest = name.split(".") if "." in name else (name, "")
        if first == "parts":
            there = place[second]
            if rest[0] == "encoders" and there is not None:
                begun = begins[unslot(rest[1])]
                there, rest[1] = (None, "") if begun is None else (there, slot(begun))
            found[name] = None if there is None else ".".join([first, there, *rest])
        else:
            found[name] = None if first == "heads" and second in strange else name
    return found


def refuse_other_columns(
    path: Path,
    before: Mapping[str, Any],
    now: Mapping[str, InputSpec],
    begins: Mapping[str, str | None],
    found: WarmStart,
) -> None:
    """Raises RunError where the weights fit and their columns do not: others stand where the run's stood."""
    earlier = {
        (source, name): seen
        for source, one in begins.items()
        if one is not None
        for name, seen in _fields(before.get(one, {}))
    }
    present = {(source, name): seen for source, spec in now.items() for name, seen in _fields(_plain(spec))}
    common = [name for name in earlier if name in present]
    other = [name for name in common if earlier[name] != present[name]]
    moved = [name for name in other if _size(earlier[name]) == _size(present[name])]
    read = [name for name in found.resized if name.startswith("parts.")]
    if not moved and (read or not other):
        return
    place = (moved or other)[0]
    was, stands = earlier[place][0], present[place][0]
    gone = [one for one in was if one not in stands]
    raise RunError(
        f"train.warm_start: the weights of '{path}' fit, but not what they read: of its {place[1]} "
        f"{', '.join(gone[:SHOWN]) or 'the order'} {'is' if len(gone) < 2 else 'are'} not what stands here now "
        f"({', '.join(stands[:SHOWN])}); keep its input columns (new ones may stand beside them), or leave warm_start out"
    )


Seen = tuple[tuple[str, ...], tuple[int, ...]]


def _fields(spec: Mapping[str, Any]) -> Iterator[tuple[str, Seen]]:
    """(field, (names, cardinalities)) of one source's specs as they stand in structure.json."""
    for name, one in spec.items():
        yield name, (tuple(one.get("names", ())), tuple(one.get("cardinalities", ())))


def _plain(spec: InputSpec) -> dict[str, Any]:
    return {name: vars(one) for name, one in spec.items()}


def _size(seen: Seen) -> tuple[int, int]:
    return len(seen[0]), sum(seen[1])


def listed(names: Iterable[str]) -> str:
    """Tensors by the part of the network they belong to, with how many there are.

    >>> listed(["heads.of_age.linear.weight", "heads.of_age.linear.bias", "parts.0.sharing.stages.0.weight"])
    'heads.age (2), sharing.stages (1)'
    """
    counts = Counter(_part(name) for name in names)
    said = [f"{name} ({count})" for name, count in counts.items()]
    return ", ".join(said[:SHOWN]) + (f" and {len(said) - SHOWN} more" if len(said) > SHOWN else "")


def _part(name: str) -> str:
    first, *rest = name.split(".")
    if first == "heads":
        return f"heads.{unslot(rest[0])}"
    if first == "parts" and rest[1] == "encoders":
        return "encoder"
    if first == "parts":
        inner = rest[1:3] if not (len(rest) > 4 and rest[3].startswith("of_")) else rest[1:4]
        return ".".join(unslot(one) for one in inner)
    return first
