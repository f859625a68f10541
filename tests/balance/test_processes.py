"""Two and four gloo processes make the step that one process makes on the joined batch."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("process_worker.py")
SCENARIOS = re.findall(r"^def scenario_(\w+)\(", WORKER.read_text(), flags=re.MULTILINE)
SIZES = (2, 4)


@pytest.fixture(scope="module", params=SIZES)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong in each scenario, by name; one group of processes, started by torchrun, runs them all."""
    size = request.param
    out = tmp_path_factory.mktemp("processes") / "results.json"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        str(size),
        "--master_port",
        str(port),
    ]
    done = subprocess.run(
        [*torchrun, str(WORKER), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert out.exists(), done.stdout
    return json.loads(out.read_text())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_processes_equal_one(results: dict[str, str], scenario: str) -> None:
    assert results[scenario] == ""
