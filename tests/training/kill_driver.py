"""Trains in child processes that are killed with SIGKILL, again and again, until one comes to its end; run by test_checkpoint.py.

usage: kill_driver.py FOLDER MODE SEED, MODE: "time" (killed after a random time) or "write" (killed at each kind of moment of writing).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from cotrain.balance.uncertainty import Uncertainty
from cotrain.core import state as files
from cotrain.core.state import flatten
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.checkpoint import write_state
from cotrain.training.feed import Batches
from cotrain.training.loop import Trainer
from cotrain.training.watch import Silent

SETTINGS = {
    "epochs": 4,
    "batch_size": 16,
    "accumulate": 2,
    "checkpoint": {"every_steps": 3, "least_seconds": 0.0},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "early_stopping": {"patience": 3},
}


MORE = {
    True: {"averaging": {"name": "ema", "every": 2}, "mixup": 0.3},
    False: {
        "optimizer": {
            "name": "schedule_free_adamw",
            "warmup_steps": 5,
            "groups": [{"parameters": "heads.*", "lr_factor": 2.0}],
        },
        "schedule": "constant",
    },
}
"""What is switched on besides, with a loader and without."""


class Slow(Silent):
    """A little time a step, so that a random moment can fall anywhere."""

    def stepped(self, epoch: int, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        time.sleep(0.002)


def rows(count: int, seed: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=source)
    number = x[:, 0] - 2 * x[:, 1]
    number[::3] = float("nan")
    return x, {"yes": (x.sum(1) > 0).float(), "number": number}


def data(loader: bool) -> Batches:
    x, y = rows(400, 1)
    if not loader:
        return x, y
    pairs = [(x[i], {name: values[i] for name, values in y.items()}) for i in range(len(x))]
    return torch.utils.data.DataLoader(
        pairs, batch_size=16, shuffle=True
    )  # draws its order from torch's global generator


def train(folder: Path | None, *, loader: bool, resume: bool) -> None:
    torch.set_num_threads(1)
    model = Model(encoder=MLP(widths=[16], dropout=0.3), tasks=[Binary("yes"), Regression("number")])
    trainer = Trainer(
        model, balancer=Uncertainty(), train={**SETTINGS, **MORE[loader]}, folder=folder, seed=5, watcher=Slow()
    )
    history = trainer.fit(data(loader), rows(100, 2), resume=resume)
    records = [{key: value for key, value in one.items() if key != "seconds"} for one in history.records]
    scores = flatten({"records": records, "best": history.best_epoch})[1]
    out = {"model": model.state_dict(), "engine": trainer.engine.state_dict(), "scores": repr(scores)}
    write_state(Path(os.environ["RESULT"]), out)


def die_at(call: int, *, before: bool) -> None:
    """SIGKILL at the `call`-th time a whole file takes its place, just before or just after it."""
    seen, replace = 0, os.replace

    def replaced(source: Path, target: Path) -> None:
        nonlocal seen
        seen += 1
        if seen == call and before:
            half = Path(source).stat().st_size // 2
            os.truncate(source, half)
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if seen == call:
            os.kill(os.getpid(), signal.SIGKILL)

    files.os.replace = replaced  # type: ignore[attr-defined]


def child(folder: Path, *, loader: bool, kill: tuple[int, bool] | None) -> int:
    process = os.fork()
    if process == 0:
        if kill is not None:
            die_at(kill[0], before=kill[1])
        try:
            train(folder, loader=loader, resume=True)
        except BaseException as error:  # noqa: BLE001 - told to the parent as an exit code, and on stderr
            print(repr(error), file=sys.stderr)  # noqa: T201
            os._exit(1)
        os._exit(0)
    return process


def main() -> None:
    folder, mode, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    loader = seed % 2 == 1
    os.environ["RESULT"] = str(folder.parent / f"whole-{folder.name}.safetensors")
    train(None, loader=loader, resume=False)  # once to warm up, once to measure
    began = time.monotonic()
    train(None, loader=loader, resume=False)
    whole = time.monotonic() - began
    os.environ["RESULT"] = str(folder.parent / f"pieces-{folder.name}.safetensors")
    draw, killed = random.Random(seed), 0
    for attempt in range(60):
        kill = (1 + attempt % 4, attempt % 2 == 0) if mode == "write" and attempt < 24 else None
        process = child(folder, loader=loader, kill=kill)
        if mode == "time" and attempt < 12:
            time.sleep(draw.uniform(0.0, 0.3 * whole))
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.WEXITSTATUS(status) == 0:
            print(f"killed {killed}")  # noqa: T201
            return
        else:
            sys.exit(f"attempt {attempt} failed")
    sys.exit("never came to an end")


if __name__ == "__main__":
    main()
