"""Which encoder of an earlier run each source of a new one begins with, where either has several sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cotrain.core.fields import MAIN


@dataclass(frozen=True)
class Sources:
    """The sources of a run. encoders: {source: the source whose encoder its rows go through}. tasks: {task: the source of its rows}, those
    of a single one.
    """

    encoders: Mapping[str, str]
    tasks: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"encoders": dict(self.encoders), "tasks": dict(self.tasks)}

    @staticmethod
    def from_structure(structure: Mapping[str, Any]) -> Sources:
        """Of a run's structure.json; of one that does not say, every source is its own."""
        told = structure.get("sources")
        if told is None:
            return Sources({source: source for source in specs_in(structure)}, {})
        return Sources(told["encoders"], told["tasks"])

    @property
    def common(self) -> str | None:
        """The source whose encoder several go through, or the only one there is; None where there is no such."""
        counted = Counter(self.encoders.values())
        shared = [source for source, count in counted.items() if count > 1] or list(counted)
        return shared[0] if len(shared) == 1 else None


def specs_in(structure: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """{source: its fields} of a run's structure.json, which holds them as they are where there is one source."""
    specs: dict[str, Mapping[str, Any]] = dict(structure.get("specs", {}))
    single = all(isinstance(one.get("kind"), str) for one in specs.values())
    return {MAIN: specs} if single else specs


def counterparts(now: Sources, before: Sources) -> dict[str, str | None]:
    """{source: the one of the run whose encoder it begins with}, None for a source whose encoder is new.

    Sources that go through one encoder have one counterpart: the run's encoder of the first of them that is there by name; else the one
    that a task of theirs was in; what the sources have in common goes on from what the run's had in common, where nobody else does.

    >>> one, two = Sources({"main": "main"}, {"age": "main"}), Sources({"a": "a", "b": "a", "c": "c"}, {"age": "a", "pay": "c"})
    >>> counterparts(two, one), counterparts(one, two)
    ({'a': 'main', 'b': 'main', 'c': None}, {'main': 'a'})
    """
    groups = {one: [source for source, other in now.encoders.items() if other == one] for one in now.encoders.values()}
    found: dict[str, str] = {}
    for encoder, group in groups.items():
        named = [before.encoders[source] for source in group if source in before.encoders]
        told = [
            before.encoders[before.tasks[task]]
            for task, source in now.tasks.items()
            if source in group and task in before.tasks
        ]
        if named or told:
            found[encoder] = [*named, *told][0]
    if now.common is not None and before.common is not None and before.common not in found.values():
        found.setdefault(now.common, before.common)
    return {source: found.get(encoder) for source, encoder in now.encoders.items()}
