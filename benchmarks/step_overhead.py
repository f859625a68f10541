#!/usr/bin/env python3
"""What the engine costs where it has nothing to balance: a step with equal weights over the same step written by hand.

    python benchmarks/step_overhead.py [--out results.jsonl] [--rounds 400]

One process, one thread, forward, backward, AdamW (fused) and zeroing in every variant, the order drawn anew in each round. `null`
is the hand-written step a second time: the spread of its ratio is what a difference is worth. CPU seconds, medians of ratios.
A case whose line is already in --out is not run again.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotrain.balance.engine import Engine
from cotrain.balance.sum import Sum

CASES = {
    "table: 20 -> 2 x 256, batch 256, 3 tasks": (20, 256, 2, 256, 3),
    "mlp: 512 -> 4 x 512, batch 64, 2 tasks": (512, 512, 4, 64, 2),
    "mlp: 512 -> 4 x 512, batch 64, 8 tasks": (512, 512, 4, 64, 8),
    "mlp: 512 -> 4 x 512, batch 256, 8 tasks": (512, 512, 4, 256, 8),
}


class Loop:
    """A network with its own optimiser, and one step of it."""

    def __init__(self, inputs: int, width: int, depth: int, batch: int, tasks: int) -> None:
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for place in range(depth):
            layers += [nn.Linear(width if place else inputs, width), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList([nn.Linear(width, 1) for _ in range(tasks)])
        self.x, self.y = torch.randn(batch, inputs), torch.randn(batch, tasks)
        parameters = [*self.trunk.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
        self.engine = Engine(self.trunk, Sum())

    def losses(self) -> list[Tensor]:
        h = self.trunk(self.x)
        return [F.mse_loss(head(h).squeeze(1), self.y[:, k]) for k, head in enumerate(self.heads)]

    def by_hand(self) -> None:
        self.optimizer.zero_grad()
        torch.stack(self.losses()).sum().backward()
        self.optimizer.step()

    def by_engine(self) -> None:
        self.optimizer.zero_grad()
        self.engine.backward({f"task{k}": loss for k, loss in enumerate(self.losses())})
        self.optimizer.step()


def main() -> None:
    """Run the cases that are not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="", help="file that gets one JSON line a case")
    parser.add_argument("--rounds", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = Path(options.out) if options.out else None
    done = {json.loads(line)["case"] for line in out.read_text().splitlines()} if out and out.exists() else set()
    for name, shape in CASES.items():
        if name in done:
            continue
        steps: dict[str, Callable[[], None]] = {
            "hand": Loop(*shape).by_hand,
            "null": Loop(*shape).by_hand,
            "engine": Loop(*shape).by_engine,
        }
        times: dict[str, list[float]] = {key: [] for key in steps}
        for turn in range(options.rounds + 10):
            for key, step in random.sample(list(steps.items()), len(steps)):
                start = time.process_time()
                step()
                if turn >= 10:
                    times[key].append(time.process_time() - start)
        ratios = {key: [t / h for t, h in zip(found, times["hand"], strict=True)] for key, found in times.items()}
        result = {
            "case": name,
            "hand_ms": round(1e3 * statistics.median(times["hand"]), 3),
            "ratio": {key: round(statistics.median(found), 4) for key, found in ratios.items()},
            "ratio_of_medians": {
                key: round(statistics.median(found) / statistics.median(times["hand"]), 4)
                for key, found in times.items()
            },
            "null_quartiles": [round(q, 3) for q in statistics.quantiles(ratios["null"], n=4)[::2]],
        }
        print(json.dumps(result), flush=True)
        if out:
            with out.open("a") as file:
                file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
