#!/usr/bin/env python3
"""What averages of the weights cost: a step with a moving average, and one of schedule-free AdamW, over the same step of fused AdamW.

    python benchmarks/averaging.py [--rounds 400] [--case "batch 64"]

The networks of step_overhead.py. One process, one thread, forward, backward, optimiser and zeroing in every variant, the order drawn anew in
each round. `null` is the step itself a second time: what its ratio is off 1 is what a difference is worth. CPU seconds, medians of ratios of
eight rounds, since "ema every 8" looks once in them.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable

import torch
from step_overhead import CASES, Loop

from cotrain.training.ema import EMA
from cotrain.training.schedule_free import ScheduleFreeAdamW


class Averaged(Loop):
    """A step and a look of the moving average."""

    def __init__(self, *shape: int, every: int) -> None:
        super().__init__(*shape)
        self.ema = EMA(torch.nn.ModuleList([self.trunk, self.heads]), every=every)
        self.ema.stepped(0.0)

    def step(self) -> None:
        self.by_hand()
        self.ema.stepped(0.0)


class ScheduleFree(Loop):
    """The same step with another optimiser."""

    def __init__(self, *shape: int) -> None:
        super().__init__(*shape)
        parameters = [*self.trunk.parameters(), *self.heads.parameters()]
        self.optimizer = ScheduleFreeAdamW(parameters, lr=1e-3, weight_decay=0.01)  # type: ignore[assignment]


def main() -> None:
    """All cases, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, shape in ((name, shape) for name, shape in CASES.items() if options.case in name):
        steps: dict[str, Callable[[], None]] = {
            "plain": Loop(*shape).by_hand,
            "null": Loop(*shape).by_hand,
            "ema every 8": Averaged(*shape, every=8).step,
            "ema every 1": Averaged(*shape, every=1).step,
            "schedule free": ScheduleFree(*shape).by_hand,
        }
        times: dict[str, list[float]] = {key: [] for key in steps}
        for turn in range(options.rounds + 10):
            for key, step in random.sample(list(steps.items()), len(steps)):
                start = time.process_time()
                step()
                if turn >= 10:
                    times[key].append(time.process_time() - start)
        eights = {key: [sum(found[i : i + 8]) for i in range(0, len(found) - 7, 8)] for key, found in times.items()}
        ratios = {
            key: statistics.median(a / b for a, b in zip(found, eights["plain"], strict=True))
            for key, found in eights.items()
        }
        plain = 1e3 * statistics.median(times["plain"])
        line = {
            "case": name,
            "plain_ms": round(plain, 3),
            "ratio": {key: round(one, 4) for key, one in ratios.items()},
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
