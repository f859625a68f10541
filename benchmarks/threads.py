"""Is one thread faster for small networks? One step of an MLP with one thread and with all, by FLOPs of a step.

    python benchmarks/threads.py [--seconds 20]

Interleaved, medians; prints one line a size. `cotrain.training.threads.SMALL` is read off this.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    most = torch.get_num_threads()
    sizes = [(32, 64), (64, 64), (128, 128), (256, 128), (256, 512), (512, 512), (1024, 512)]
    for width, rows in sizes:
        net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        optimizer = torch.optim.AdamW(net.parameters(), fused=True)
        x = torch.randn(rows, width)
        times: dict[int, list[float]] = {1: [], most: []}
        end = time.monotonic() + given.seconds / len(sizes)
        while time.monotonic() < end:
            for threads in times:
                torch.set_num_threads(threads)
                began = time.perf_counter()
                for _ in range(5):
                    optimizer.zero_grad()
                    net(x).square().mean().backward()
                    optimizer.step()
                times[threads].append((time.perf_counter() - began) / 5)
        flops = 3 * 2 * rows * (2 * width * width + width)
        ratio = statistics.median(a / b for a, b in zip(times[1], times[most], strict=True))
        print(
            f"width {width:5d}, rows {rows:4d}: {flops:9.2e} FLOP a step, one thread takes {ratio:.2f} x the time of {most}"
        )


if __name__ == "__main__":
    main()
