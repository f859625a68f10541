"""The run folder: where it lies, what is in it, and that it is never overwritten."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from cotrain.core.errors import RunError
from cotrain.core.state import whole_file, write_json

RUNS = "runs"
"""Where run folders are made if nobody says otherwise."""

FORMAT = 1
"""Of structure.json; a folder with another number is refused."""


def new_folder(name: str, folder: Path | str | None = None) -> Path:
    """A fresh folder: the one asked for, or runs/<name>, runs/<name>-2 ... Raises RunError if the one asked for is in use."""
    if folder is not None:
        path = Path(folder)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(
                f"folder '{path}' is in use and a run folder is never overwritten; choose another, or go on with --resume"
            )
        path.mkdir(parents=True, exist_ok=True)
        return path
    for number in range(1, 100_000):
        path = Path(RUNS) / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise RunError(f"there are too many folders named '{RUNS}/{name}-...'; move some away or give a folder")


def newest_folder(name: str, folder: Path | str | None = None) -> Path:
    """The folder to go on with: the one asked for, or the newest of runs/<name>, runs/<name>-2 ... Raises RunError if there is none."""
    if folder is not None:
        path = Path(folder)
        if not path.is_dir():
            raise RunError(
                f"folder '{path}' does not exist, so there is nothing to resume; leave --resume out to begin"
            )
        return path
    pattern = re.compile(re.escape(name) + r"(-\d+)?$")
    found = [path for path in Path(RUNS).glob(f"{name}*") if path.is_dir() and pattern.match(path.name)]
    if not found:
        raise RunError(f"there is no folder '{RUNS}/{name}' to resume; leave --resume out to begin")
    return max(found, key=lambda path: int(path.name.removeprefix(name).lstrip("-") or 1))


def existing_folder(folder: Path | str) -> Path:
    """A folder that holds a finished run. Raises RunError, saying what is missing, otherwise."""
    path = Path(folder)
    if not path.is_dir():
        near = sorted(one.name for one in Path(RUNS).glob("*") if one.is_dir())
        there = f"; there are: {', '.join(f'{RUNS}/{name}' for name in near[:8])}" if near else ""
        raise RunError(f"there is no run folder '{path}'{there}")
    if not (path / "structure.json").exists() or not (path / "model.safetensors").exists():
        raise RunError(
            f"folder '{path}' holds no finished run (structure.json and model.safetensors are expected); "
            "if its training was interrupted, go on with: cotrain train CONFIG --resume"
        )
    structure = read_json(path / "structure.json")
    if structure.get("format") != FORMAT:
        raise RunError(
            f"folder '{path}' has format {structure.get('format')}, this version of cotrain reads format {FORMAT}; "
            "use the version that wrote it, or train again"
        )
    return path


def read_json(path: Path) -> Any:
    """A JSON file of a run folder. Raises RunError if it is absent or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"'{path}' is missing; is this a run folder?") from None
    except ValueError as error:
        raise RunError(f"'{path}' is not valid JSON ({error}); the folder is damaged, train again") from error


def write_text(path: Path, text: str) -> None:
    """A text file, whole or absent."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_environment(folder: Path, device: str, seconds: float) -> None:
    """environment.json: versions, machine, when and how long."""
    value: Mapping[str, Any] = {
        "cotrain": metadata.version("cotrain"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(time.time() - seconds)),
        "seconds": seconds,
        "command": Path(sys.argv[0]).name if sys.argv else "",
    }
    write_json(folder / "environment.json", value)
