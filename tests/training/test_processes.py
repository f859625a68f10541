"""Two processes, each with half of the rows, do what one does with all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cotrain.training.checkpoint import read_state

PROGRAM = Path(__file__).with_name("two_processes.py")
SOURCE = Path(__file__).resolve().parents[2] / "src"


def run(folder: Path, *, processes: int) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), str(processes)],
        capture_output=True, text=True, timeout=400, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read_state(folder / "result.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="no gloo here, which sums over processes on a CPU"
)
def test_two_processes_equal_one_and_resume_alike(tmp_path: Path) -> None:
    one, two = run(tmp_path / "one", processes=1), run(tmp_path / "two", processes=2)
    for method in ("sum", "nash"):
        alone, joined = one[method], two[method]
        assert set(alone["model"]) == set(joined["model"])
        for name, value in alone["model"].items():
            assert torch.allclose(value, joined["model"][name], rtol=0, atol=2e-5), name
        assert joined["losses"] == pytest.approx(alone["losses"], rel=1e-4)
        assert joined["weights"] == pytest.approx(alone["weights"], rel=1e-3)
        assert joined["rows"] == alone["rows"] == 3 * 96
    for name, value in two["sum"]["model"].items():
        assert torch.equal(value, two["resumed"]["model"][name]), name
