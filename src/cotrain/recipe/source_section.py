"""The `sources:` of a config: several tables, each with keys as under `data:` and, where it needs them, inputs and an encoder of its own.

What stands under `data:` beside them holds for all; a source's own keys win.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotrain.data.settings import DataSettings
from cotrain.encoders.gallery import ENCODERS
from cotrain.recipe.data_section import read_data
from cotrain.recipe.inputs import InputSettings, read_inputs
from cotrain.recipe.problems import Keys, Origin, Place, Problem
from cotrain.recipe.reader import Choice, Reader

BESIDE = ("inputs", "encoder")
"""Keys of a source beside those of `data:`."""


@dataclass(frozen=True)
class SourceSettings:
    """One source. data: where its rows are and how they are split and read. inputs, encoder: its own; without them it goes through
    the config's, together with all other sources that have none. table: the rows themselves where Python code handed them in.
    """

    data: DataSettings
    inputs: Mapping[str, InputSettings] | None = None
    encoder: Choice | None = None
    table: Any = field(default=None, repr=False, compare=False)

    @property
    def own(self) -> bool:
        """Whether its rows go through an encoder of their own."""
        return self.inputs is not None or self.encoder is not None


def read_sources(reader: Reader, tree: Any, common: Any, folder: Path | None, files: bool) -> dict[str, SourceSettings]:
    """{name: source} from a mapping of names to paths, to settings, or (from Python) to tables. common: what stands under `data:`."""
    keys: Keys = ("sources",)
    example = "sources: {reviews: {path: reviews.csv}, tweets: {path: tweets.csv}}"
    given = reader.mapping(tree, keys, "a mapping from each source's name to its table", example)
    if given is not None and not given:
        reader.found(keys, f"expected at least one source, got none; write for example `{example}`")
    shared = common if isinstance(common, Mapping) else {}
    found: dict[str, SourceSettings] = {}
    for name, part in (given or {}).items():
        here = (*keys, name)
        one = _source(reader, part, shared, here, folder, files)
        if one is not None:
            found[name] = one
    return found


def _source(
    reader: Reader, part: Any, common: Mapping[str, Any], here: Keys, folder: Path | None, files: bool
) -> SourceSettings | None:
    if isinstance(part, SourceSettings):
        return part
    table = None
    if isinstance(part, str | Path):
        part = {"path": str(part)}
    elif not _says_how(part):
        table, part = part, {}
    elif "table" in part:
        table = part["table"]
    own = {key: one for key, one in part.items() if key not in (*BESIDE, "table")}
    data = read_data(reader, {**common, **own}, folder, table, files, keys=here)
    inputs = read_inputs(reader, part["inputs"], (*here, "inputs")) if part.get("inputs") is not None else None
    encoder = reader.choice(ENCODERS, part["encoder"], (*here, "encoder")) if part.get("encoder") is not None else None
    return None if data is None else SourceSettings(data, inputs, encoder, table)


def _says_how(part: Any) -> bool:
    """Whether this is what a config says of a source, and not the rows themselves."""
    if part is None or not isinstance(part, Mapping):
        return part is None
    known = {one.name for one in dataclasses.fields(DataSettings)}
    plain = not any(hasattr(one, "__array__") or hasattr(one, "to_numpy") for one in part.values())
    return "table" in part or "path" in part or (plain and (not part or bool(set(part) & {*known, *BESIDE})))


def names_of(tree: Any) -> list[str]:
    """The names of the sources as they are written, those with a problem too."""
    return [str(name) for name in tree] if isinstance(tree, Mapping) else []


def origin_of(origin: Origin, name: str, own: bool) -> Origin:
    """Where the values of one source were written, as if it were the only one: under `data`, and `inputs` where it has its own."""

    def moved(places: Mapping[Keys, Place]) -> dict[Keys, Place]:
        out = dict(places)
        for keys, place in places.items():
            if keys[:2] != ("sources", name):
                continue
            rest = keys[2:]
            if rest[:1] in (("inputs",), ("encoder",)):
                out.update({rest: place} if own else {})
            else:
                out[("data", *rest)] = place
        return out

    return Origin(origin.file, moved(origin.keys), moved(origin.values))


def problem_of(problem: Problem, name: str, own: bool) -> Problem:
    """A problem of one source, said of its own keys.

    >>> str(problem_of(Problem("data.split.by", "no such column"), "tweets", False))
    'sources.tweets.split.by: no such column'
    """
    first, dot, rest = problem.path.partition(".")
    if first == "data":
        return dataclasses.replace(problem, path=f"sources.{name}{dot}{rest}")
    if own and first.partition("[")[0] in BESIDE:
        return dataclasses.replace(problem, path=f"sources.{name}.{problem.path}")
    return problem
