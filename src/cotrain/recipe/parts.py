"""What a comparison has trained so far, on disk: one file a variant and seed, so that an interrupted comparison goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cotrain.core.errors import RunError
from cotrain.core.fields import Field
from cotrain.recipe.rows import Rows
from cotrain.training.checkpoint import read_state, write_state
from cotrain.training.evaluate import Gathered


@dataclass(frozen=True)
class Part:
    """One training of one variant: outputs on the test rows, what it cost, how its gradients agreed (or None), what its tasks learnt
    on the validation rows ({task: JSON}).
    """

    outputs: Mapping[str, Gathered]
    cost: Mapping[str, float | None]
    conflict: Mapping[str, Any] | None
    learnt: Mapping[str, Any] = field(default_factory=dict)


class Parts:
    """The trainings of a comparison by (variant, seed), in memory and in a folder."""

    def __init__(self, folder: Path, rows: Rows) -> None:
        self.folder = folder
        self.left_out: dict[str, str] = {}
        self._targets = {task.name: self._test(rows, task.name) for task in rows.tasks}
        self._found: dict[tuple[str, int], Part] = {}

    @staticmethod
    def _test(rows: Rows, task: str) -> tuple[Field, torch.Tensor | None]:
        """A task's labelled test rows: target and weight."""
        batch = rows.data.for_tasks([task]).whole("test")
        batch = batch.select(batch.targets[task].present)
        return batch.targets[task], batch.weight

    def has(self, name: str, seed: int) -> bool:
        """Whether this training was done, or its variant left out."""
        return name in self.left_out or (name, seed) in self._found or self._path(name, seed).exists()

    def add(self, name: str, seed: int, part: Part) -> None:
        """Keep a training."""
        self.folder.mkdir(parents=True, exist_ok=True)
        outputs = {task: one.output for task, one in part.outputs.items()}
        state = {"outputs": outputs, "cost": dict(part.cost), "conflict": part.conflict, "learnt": dict(part.learnt)}
        write_state(self._path(name, seed), state)
        self._found[name, seed] = part

    def leave_out(self, name: str, why: str) -> None:
        """This variant cannot be had here."""
        self.left_out[name] = why

    def complete(self, name: str, seeds: Sequence[int]) -> bool:
        """Whether every seed of a variant was trained."""
        return name not in self.left_out and all(self.has(name, seed) for seed in seeds)

    def get(self, name: str, seed: int) -> Part:
        """A training, from memory or from the folder."""
        if (name, seed) not in self._found:
            state = read_state(self._path(name, seed))
            outputs = {}
            for task, output in state["outputs"].items():
                target, weight = self._targets[task]
                if len(output) != len(target.values):
                    raise RunError(
                        f"'{self._path(name, seed)}' was made from other test rows ({len(output)} there, {len(target.values)} now); "
                        "begin a new comparison"
                    )
                outputs[task] = Gathered(output, target, weight)
            self._found[name, seed] = Part(outputs, state["cost"], state["conflict"], state.get("learnt", {}))
        return self._found[name, seed]

    def cost(self, name: str, seeds: Sequence[int]) -> dict[str, float | None]:
        """Means over seeds."""
        costs = [self.get(name, seed).cost for seed in seeds]
        found: dict[str, float | None] = {}
        for key in costs[0]:
            values = [value for one in costs if (value := one.get(key)) is not None]
            found[key] = float(np.mean(values)) if values else None
        return found

    def _path(self, name: str, seed: int) -> Path:
        return self.folder / f"{file_name(name)}-{seed}.safetensors"


def file_name(variant: str) -> str:
    """A variant's name as part of a file's.

    >>> file_name("joint (hard)")
    'joint--hard--0441c9dc'
    """
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in variant)
    return f"{safe}-{hashlib.blake2b(variant.encode(), digest_size=4).hexdigest()}"
