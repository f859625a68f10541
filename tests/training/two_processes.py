"""Trains in one process or in two with half of every batch each; run by test_processes.py.

usage: two_processes.py FOLDER PROCESSES
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

METHODS = {"sum": Sum, "nash": NashMTL}


def fitted(fabric: Fabric | None, folder: Path, method: str, *, epochs: int, resume: bool = False) -> dict[str, Any]:
    rank, size = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    source = torch.Generator().manual_seed(1)
    x = torch.randn(96, 3, generator=source)
    number = x[:, 0] - 2 * x[:, 1]
    number[:40] = float("nan")  # uneven: some parts of a batch hold no such label at all
    y = {"yes": (x.sum(1) > 0).float(), "number": number}
    torch.manual_seed(rank)  # the first process's initial weights count
    model = Model(encoder=MLP(widths=[8], dropout=0.0), tasks=[Binary("yes"), Regression("number")])

    def batches(epoch: int) -> Iterator[Any]:
        share = 16 // size
        for at in range(0, 96, 16):
            rows = slice(at + rank * share, at + (rank + 1) * share)
            yield x[rows], {name: one[rows] for name, one in y.items()}

    train = {
        "epochs": epochs, "schedule": "constant", "loss_scale": "none", "accumulate": 2, "keep": "last",
        "checkpoint": {"least_seconds": 0.0},
    }  # fmt: skip
    trainer = Trainer(model, balancer=METHODS[method](), train=train, fabric=fabric, folder=folder)
    history = trainer.fit(batches, (x, y), resume=resume)
    weights = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    record = history.records[-1]
    return {"model": weights, "losses": record["losses"], "weights": record["weights"], "rows": history.rows}


def main() -> None:
    torch.set_num_threads(1)
    folder, processes = Path(sys.argv[1]), int(sys.argv[2])
    fabric = None
    if processes > 1:
        fabric = Fabric(accelerator="cpu", devices=processes, strategy="ddp")
        fabric.launch()
    out = {method: fitted(fabric, folder / method, method, epochs=3) for method in METHODS}
    if fabric is not None:
        fitted(fabric, folder / "parts", "sum", epochs=2)
        out["resumed"] = fitted(fabric, folder / "parts", "sum", epochs=3, resume=True)
    if fabric is None or fabric.global_rank == 0:
        write_state(folder / "result.safetensors", out)


if __name__ == "__main__":
    main()
