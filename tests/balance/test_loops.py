"""The examples of other people's loops run, and learn."""

from __future__ import annotations

import importlib.util
import statistics
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch

LOOPS = Path(__file__).resolve().parents[2] / "examples" / "loops"


def load(name: str) -> ModuleType:
    """An example, imported from its file."""
    spec = importlib.util.spec_from_file_location(f"loops_{name}", LOOPS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def falls(history: list[float]) -> bool:
    """Whether the last steps' median loss is well below the first ones'."""
    return statistics.median(history[-5:]) < 0.8 * statistics.median(history[:5])


def test_a_bare_loop() -> None:
    history = load("bare").main(120)
    assert falls([step["price"] + step["sold"] for step in history])
    assert all(-1 <= step["cosine"] <= 1 for step in history)


@pytest.mark.parametrize("two_passes", [False, True])
def test_accumulation(two_passes: bool) -> None:
    assert falls(load("accumulation").main(50, two_passes=two_passes))


def test_bfloat16() -> None:
    history, skipped = load("mixed_precision").main(80)
    assert falls(history)
    assert skipped == 0


def test_a_scaler_skips_what_overflows_and_goes_on() -> None:
    history, skipped = load("mixed_precision").main(80, dtype=torch.float16, scale=2.0**24)
    assert skipped > 0
    assert falls(history)


def test_a_lightning_module() -> None:
    pytest.importorskip("lightning", reason="lightning is not installed: pip install lightning")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert falls(load("lightning_module").main(80))


def test_a_hugging_face_trainer() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: pip install transformers accelerate")
    pytest.importorskip("accelerate", reason="accelerate is not installed: pip install transformers accelerate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert falls(load("huggingface_trainer").main(100))
