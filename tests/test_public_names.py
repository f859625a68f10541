"""The names others may rely on do not change unnoticed.

`public_names.txt` holds one line a name: `cotrain.Binary class`. After a deliberate change, write it anew with

    python tests/test_public_names.py

and say in the changelog what changed.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
from pathlib import Path

import pytest

import cotrain

SNAPSHOT = Path(__file__).with_name("public_names.txt")


def kind(value: object) -> str:
    if inspect.isclass(value):
        return "class"
    return "function" if callable(value) else "value"


def public_names() -> list[str]:
    """Every name of the package's face and of each room's shop window, with what it is."""
    rooms = [f"cotrain.{room.name}" for room in pkgutil.iter_modules(cotrain.__path__) if room.ispkg]
    lines = []
    for module_name in ["cotrain", *sorted(rooms)]:
        module = importlib.import_module(module_name)
        shown = [name for name in vars(module) if not name.startswith("_")]
        for name in sorted(getattr(module, "__all__", shown)):
            value = getattr(module, name)
            if not isinstance(value, types.ModuleType):
                lines.append(f"{module_name}.{name} {kind(value)}")
    return lines


def test_public_names_are_those_written_down() -> None:
    assert public_names() == SNAPSHOT.read_text("utf-8").splitlines()


def test_every_name_of_the_face_can_be_had_and_is_listed() -> None:
    assert [name for name in cotrain.__all__ if name not in dir(cotrain)] == []
    assert set(cotrain._HOME) | {"__version__"} == set(cotrain.__all__)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="Model"):
        getattr(cotrain, "Modell")  # noqa: B009


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(public_names()) + "\n", "utf-8")
