"""One epoch of `Trainer` on a 50,000 x 20 table against the shortest loop one would write by hand.

Both: a 256-256 network with dropout .1, one yes/no target and two numbers, batch 256, fused AdamW, clipping, a finite check. The
hand-written loop has ready tensors and nothing else; the trainer has its schedule, its log and its checks besides. Its data come as
tensors, and as the data room's encoded rows. One thread, one process, interleaved epoch by epoch; the null is the hand-written loop
against itself. Figures are medians of the processor time of an epoch (wall time beside it).

    python benchmarks/table_epoch.py [--epochs 30] [--rows 50000] [--batch 256]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.fields import Batch, Field
from cotrain.data.sample import EncodedData
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.feed import Batches
from cotrain.training.loop import Trainer
from cotrain.training.watch import Silent


class ByHand(nn.Module):
    """Trunk and three heads."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(columns, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.1)
        )
        self.heads = nn.ModuleList(nn.Linear(256, 1) for _ in range(3))

    def forward(self, x: Tensor) -> list[Tensor]:
        z = self.trunk(x)
        return [head(z).squeeze(1) for head in self.heads]


def hand_epochs(x: Tensor, y: list[Tensor], size: int) -> Iterator[None]:
    """Trains; every `next` is one epoch."""
    model = ByHand(x.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, fused=True)
    while True:
        for rows in torch.split(torch.randperm(len(x)), size):
            yes, first, second = model(x[rows])
            loss = F.binary_cross_entropy_with_logits(yes, y[0][rows])
            loss = loss + F.mse_loss(first, y[1][rows]) + F.mse_loss(second, y[2][rows])
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if torch.isfinite(norm):
                optimizer.step()
            optimizer.zero_grad()
        yield


class Between(Silent):
    """Times the trainer's epochs, and lets the others run between them."""

    def __init__(self, others: Mapping[str, Iterator[None]]) -> None:
        self.others = others
        self.seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ("cotrain", *others)}
        self.began = clocks()

    def started(self, plan: Any) -> None:
        self.began = clocks()

    def ended_epoch(self, record: Mapping[str, Any]) -> None:
        self.note("cotrain")
        names = list(self.others)
        for name in names if record["epoch"] % 2 else reversed(names):
            self.began = clocks()
            next(self.others[name])
            self.note(name)
        self.began = clocks()

    def note(self, name: str) -> None:
        now = clocks()
        self.seconds[name].append((now[0] - self.began[0], now[1] - self.began[1]))


def clocks() -> tuple[float, float]:
    """(processor seconds, wall seconds)."""
    return time.process_time(), time.perf_counter()


def encoded(x: Tensor, y: Mapping[str, Tensor], size: int) -> Callable[[int], Iterator[Batch]]:
    """Batches as `cotrain train` draws them: a function of the epoch over the data room's encoded rows."""
    targets = {name: Field.dense(one) for name, one in y.items()}
    data = EncodedData({"numbers": Field.dense(x)}, targets, splits={"train": torch.arange(len(x))})
    return lambda epoch: data.batches("train", size, seed=0, epoch=epoch, shuffle=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=256)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(wanted.rows, 20)
    y = [(x[:, 0] * x[:, 1] > 0).float(), x[:, 2].sin() + x[:, 3], x[:, 4] * x[:, 5]]
    named = dict(zip(("yes", "first", "second"), y, strict=True))
    forms: dict[str, Batches] = {"tensors": (x, named), "encoded rows": encoded(x, named, wanted.batch)}
    for form, data in forms.items():
        hand = {name: hand_epochs(x, y, wanted.batch) for name in ("by hand", "by hand again")}
        between = Between(hand)
        model = Model(encoder=MLP(widths=[256, 256]), tasks=[Binary("yes"), Regression("first"), Regression("second")])
        train = {"epochs": wanted.epochs, "batch_size": wanted.batch, "device": "cpu", "early_stopping": None}
        Trainer(model, train=train, watcher=between).fit(data)
        report(form, between.seconds)


def report(form: str, seconds: Mapping[str, list[tuple[float, float]]]) -> None:
    """One line for people, one of JSON. The first two epochs warm up."""
    pairs = list(zip(*(seconds[name][2:] for name in ("cotrain", "by hand", "by hand again")), strict=True))
    ours = median(a[0] / ((b[0] + c[0]) / 2) for a, b, c in pairs)
    null = [b[0] / c[0] for _, b, c in pairs]
    figures = {
        "data": form,
        "epoch_ms": {name: round(1e3 * median(one[0] for one in times[2:]), 1) for name, times in seconds.items()},
        "wall_ms": {name: round(1e3 * median(one[1] for one in times[2:]), 1) for name, times in seconds.items()},
        "ratio": round(ours, 3),
        "null": round(median(null), 3),
        "null_spread": [
            round(value, 3) for value in (sorted(null)[len(null) // 10], sorted(null)[-1 - len(null) // 10])
        ],
        "epochs": len(pairs),
        "torch": torch.__version__,
    }
    print(f"{form}: {ours:.3f} x the hand-written loop (null {median(null):.3f})")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
