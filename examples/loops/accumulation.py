"""Accumulation: each micro-batch balanced on its own, or the whole step exactly, in two passes.

python examples/loops/accumulation.py
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from cotrain.balance import Engine, UPGrad

_spec = importlib.util.spec_from_file_location("bare", Path(__file__).with_name("bare.py"))
bare: Any = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]
_spec.loader.exec_module(bare)  # type: ignore[union-attr]


def main(steps: int = 60, parts: int = 4, *, two_passes: bool = False) -> list[float]:
    """Train with `parts` micro-batches a step, and give the sum of the losses of each step."""
    torch.manual_seed(0)
    net = bare.Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    engine = Engine(net.trunk, UPGrad())
    history = []
    for rows in bare.batches(steps):
        optimizer.zero_grad()
        micro = list(zip(*(tensor.chunk(parts) for tensor in rows), strict=True))
        weights = None
        if two_passes:
            # the exact form: weights of the whole step's gradients first, from graphs that are then let go
            whole = [net.losses(*part) for part in micro]
            seen = engine.probe({task: sum(losses[task] for losses in whole) / parts for task in whole[0]})
            found = UPGrad().weights(seen.gramian)
            weights = dict(zip(seen.tasks, found.tolist(), strict=True))
        total = 0.0
        for part in micro:
            losses = {task: loss / parts for task, loss in net.losses(*part).items()}
            engine.backward(losses, weights=weights)
            total += sum(loss.item() for loss in losses.values())
        optimizer.step()
        history.append(total)
    return history


if __name__ == "__main__":
    for exact in (False, True):
        history = main(two_passes=exact)
        print("two passes" if exact else "one pass", history[0], "->", history[-1])
