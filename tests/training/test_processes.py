"""Two processes, each with half of the rows, do what one does with all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cotrain.training.checkpoint import read_state

SOURCE = Path(__file__).resolve().parents[2] / "src"
PROGRAM = """
import sys
from pathlib import Path
import torch
from lightning_fabric import Fabric
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.sum import Sum
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.checkpoint import write_state
from cotrain.training.loop import Trainer

torch.set_num_threads(1)
folder, method, epochs, resume = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "resume"
source = torch.Generator().manual_seed(1)
x = torch.randn(96, 3, generator=source)
number = x[:, 0] - 2 * x[:, 1]
number[:40] = float("nan")   # uneven: some parts of a batch hold no such label at all
y = {"yes": (x.sum(1) > 0).float(), "number": number}
train = {"epochs": epochs, "schedule": "constant", "loss_scale": "none", "accumulate": 2, "keep": "last", "checkpoint": {"least_seconds": 0.0}}

def work(fabric):
    rank, size = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    torch.manual_seed(rank)  # the first process's initial weights count
    model = Model(encoder=MLP(widths=[8], dropout=0.0), tasks=[Binary("yes"), Regression("number")])
    share = 16 // size
    def batches(epoch):
        for at in range(0, 96, 16):
            rows = slice(at + rank * share, at + (rank + 1) * share)
            yield x[rows], {name: one[rows] for name, one in y.items()}
    balancer = {"sum": Sum, "nash": NashMTL}[method]()
    trainer = Trainer(model, balancer=balancer, train=train, fabric=fabric, folder=folder)
    history = trainer.fit(batches, (x, y), resume=resume)
    if rank == 0:
        record = history.records[-1]
        out = {"model": model.state_dict(), "losses": record["losses"], "weights": record["weights"], "rows": history.rows}
        write_state(folder / "result.safetensors", out)

if __name__ == "__main__":
    if sys.argv[5] == "1":
        work(None)
    else:
        fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
        fabric.launch()
        work(fabric)
"""


def run(program: Path, folder: Path, *words: str) -> dict[str, object]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(program), str(folder), *words],
        capture_output=True, text=True, timeout=300, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read_state(folder / "result.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="this torch has no gloo, which sums over processes on a CPU"
)
@pytest.mark.parametrize("method", ["sum", "nash"])
def test_two_processes_equal_one_and_resume_alike(tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    one = run(program, tmp_path / "one", method, "3", "fresh", "1")
    two = run(program, tmp_path / "two", method, "3", "fresh", "2")
    for name, tensor in one["model"].items():  # type: ignore[attr-defined]
        if isinstance(tensor, torch.Tensor):
            assert torch.allclose(tensor, two["model"][name], rtol=0, atol=2e-5), name  # type: ignore[index]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-3)
    assert two["rows"] == one["rows"] == 3 * 96
    if method == "sum":
        run(program, tmp_path / "parts", method, "2", "fresh", "2")
        parts = run(program, tmp_path / "parts", method, "3", "resume", "2")
        for name, tensor in two["model"].items():  # type: ignore[attr-defined]
            if isinstance(tensor, torch.Tensor):
                assert torch.equal(tensor, parts["model"][name]), name  # type: ignore[index]
