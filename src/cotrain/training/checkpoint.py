"""Checkpoints: everything a training needs to go on as if it had never stopped, each in one file that is whole or absent.

A file holds tensors (safetensors) and, in its header, the JSON tree they hang on. The last two are kept, and the best weights they
refer to. No pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cotrain.core.errors import RunError
from cotrain.core.state import flatten, unflatten, whole_file

FORMAT = 1
KEPT = 2


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a nested state of tensors, numbers, words, lists and dicts as one whole file."""
    tensors, tree = flatten(state)
    with whole_file(path) as temporary:
        save_file(_apart(tensors), temporary, {"format": str(FORMAT), "tree": json.dumps(tree)})


def read_state(path: Path) -> dict[str, Any]:
    """The state `write_state` was given, on the CPU. Raises RunError if the file is damaged or from another format."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise RunError(
            f"a checkpoint was expected at {path}, and it cannot be read ({error}); remove it to use an earlier one"
        ) from error
    if header.get("format") != str(FORMAT):
        raise RunError(
            f"checkpoint {path} has format {header.get('format')}, this version reads {FORMAT}; resume with the version that wrote it"
        )
    state: dict[str, Any] = unflatten(tensors, json.loads(header["tree"]))
    return state


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, none sharing memory with another: tied parameters are written twice."""
    seen: set[int] = set()
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.numel() * tensor.element_size():
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        out[name] = tensor
    return out


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same state on the CPU, sharing no memory with it."""
    tensors, tree = flatten(state)
    fresh: dict[str, Any] = unflatten(
        {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}, tree
    )
    return fresh


class Checkpoints:
    """The folder `checkpoint/` of a run; without a folder nothing is written and nothing is found."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = None if folder is None else folder / "checkpoint"

    def found(self) -> list[Path]:
        """Checkpoints there are, newest first."""
        return [] if self.folder is None else sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def save(self, step: int, state: Mapping[str, Any], best: Mapping[str, Any] | None, best_step: int | None) -> None:
        """Write the state after `step` steps; `best` are the best weights so far, of step `best_step`, written once."""
        if self.folder is None:
            return
        if best is not None and best_step is not None and not self._best(best_step).exists():
            write_state(self._best(best_step), best)
        write_state(self.folder / f"step-{step:012d}.safetensors", {**state, "best_step": best_step})
        self._prune(best_step)

    def latest(self) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
        """(state, best weights) of the newest checkpoint that can be read, or None if there is none.

        Raises RunError if there are checkpoints and none can be read.
        """
        if self.folder is not None:
            for leftover in self.folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
        last: RunError | None = None
        for path in self.found():
            try:
                state = read_state(path)
                step = state["best_step"]
                return state, None if step is None else read_state(self._best(step))
            except RunError as error:
                last = error
        if last is not None:
            raise last
        return None

    def _best(self, step: int) -> Path:
        if self.folder is None:
            raise RunError("best weights are kept in a folder, and none was given")
        return self.folder / f"best-{step:012d}.safetensors"

    def _prune(self, best_step: int | None) -> None:
        """Remove what neither of the last two checkpoints needs. The best weights of the one before last stay until it goes."""
        if self.folder is None:
            return
        kept = self.found()[:KEPT]
        for path in self.found()[KEPT:]:
            path.unlink()
        needed = {best_step} | {_best_step_of(path) for path in kept}
        for path in self.folder.glob("best-*.safetensors"):
            if int(path.stem.removeprefix("best-")) not in needed:
                path.unlink()


def _best_step_of(path: Path) -> int | None:
    """Which best weights a checkpoint refers to, read from its header alone."""
    try:
        with safe_open(path, "pt") as file:
            step = json.loads((file.metadata() or {})["tree"])["best_step"]
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    return None if step is None else int(step)


def same_settings(kept: Mapping[str, Any], now: Mapping[str, Any], free: tuple[str, ...]) -> None:
    """Raises RunError naming the settings that changed since the checkpoint, other than those that may (`free`)."""
    changed = [key for key in now if key not in free and _plainly(kept.get(key)) != _plainly(now[key])]
    if changed:
        shown = "; ".join(f"{key} was {kept.get(key)!r}, is {now[key]!r}" for key in changed)
        raise RunError(
            f"a resumed training must have the settings it was started with: {shown}; put them back, or start a new run"
        )


def _plainly(value: Any) -> Any:
    return json.loads(json.dumps(value))
