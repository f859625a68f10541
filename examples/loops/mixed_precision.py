"""Mixed precision: autocast around the forward pass; with a GradScaler, scale the losses and say by how much.

python examples/loops/mixed_precision.py

bfloat16 needs no scaler. float16 does: gradients stay scaled, as the scaler expects them, while weights are made without the
factor; what overflows stays visible in `.grad`, so that the scaler skips the step and lowers its factor.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from cotrain.balance import Engine, NashMTL

_spec = importlib.util.spec_from_file_location("bare", Path(__file__).with_name("bare.py"))
bare: Any = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]
_spec.loader.exec_module(bare)  # type: ignore[union-attr]


def main(steps: int = 100, *, dtype: torch.dtype = torch.bfloat16, scale: float = 2.0**12) -> tuple[list[float], int]:
    """Train, and give the sum of the losses of each step and how many steps the scaler skipped."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = bare.Net().to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    engine = Engine(net.trunk, NashMTL())
    scaler = torch.amp.GradScaler(device, init_scale=scale, enabled=dtype == torch.float16)
    history: list[float] = []
    skipped = 0
    for rows in bare.batches(steps):
        optimizer.zero_grad()
        with torch.autocast(device, dtype=dtype):
            losses = net.losses(*(tensor.to(device) for tensor in rows))
        factor = scaler.get_scale()
        report = engine.backward({task: scaler.scale(loss) for task, loss in losses.items()}, loss_scale=factor)
        skipped += report.step_skipped
        scaler.step(optimizer)
        scaler.update()
        history.append(sum(loss.item() for loss in losses.values()))
    return history, skipped


if __name__ == "__main__":
    history, skipped = main()
    print(history[0], "->", history[-1], "skipped", skipped)
