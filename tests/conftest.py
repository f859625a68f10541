"""What every test starts from: the same seeds, one thread, and a way to real data where it is at hand."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # commands that tests start: small networks gain nothing from more


@pytest.fixture(autouse=True)
def same_seeds(request: pytest.FixtureRequest) -> None:
    """Layers draw from torch's global generator, a few libraries from the others, some modules from a RANDOM of their own: each test finds them
    alike, whichever ran before it.
    """
    own = getattr(getattr(request, "module", None), "RANDOM", None)
    if isinstance(own, numpy.random.Generator):
        own.bit_generator.state = numpy.random.default_rng(0).bit_generator.state
    elif isinstance(own, torch.Generator):
        own.manual_seed(0)
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("heart_disease/heart.csv")` is the file's path, or a skip that says why."""
    folder = Path(os.environ.get("COTRAIN_DATA") or ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"real data '{name}' is not at hand: set COTRAIN_DATA to the folder that holds it")
        return path

    return find
