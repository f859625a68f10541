"""Peak memory of encoding and training does not grow with the rows: the benchmark in miniature, each size in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def peak(part: str, folder: Path, rows: int) -> float:
    """Peak MiB of one part of the benchmark."""
    call = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), "--part", part, "--folder", str(folder), "--rows", str(rows)]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(call, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return float(json.loads(done.stdout.splitlines()[-1]).get("peak MiB", 0.0))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is counted otherwise elsewhere")
def test_five_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    peaks: dict[str, list[float]] = {"encode": [], "train": []}
    for rows in (400_000, 2_000_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        peak("make", folder, rows)
        for part, found in peaks.items():
            found.append(peak(part, folder, rows))
    for part, (few, many) in peaks.items():
        assert many < 1.2 * few, f"{part}: {few:.0f} MiB for 400,000 rows, {many:.0f} MiB for 2,000,000"
