"""Every balancing method under one protocol: same network, rows, budget, stopping and number of trials.

    python benchmarks/methods.py digits                       all methods, two overlaid digits made from scikit-learn's, 3 seeds
    python benchmarks/methods.py census20k                    all methods, 20,000 census rows, 3 seeds
    python benchmarks/methods.py census multimnist --main     six methods, five seeds
    python benchmarks/methods.py --table                      what has been run so far, as Markdown

Protocol: every method has TRIALS trials on seed 0, chosen by validation score: learning rates for all but `static`, whose trials are
task weights drawn from a Dirichlet(1) at the rate that was best for `sum` (the first is equal weights), which is run before it. The chosen setting is then trained with every seed,
and only these trainings meet the test split. Each training appends one JSON line to --results; what is there is not trained again.
Needs COTRAIN_DATA (or ../shared/data beside the project) for census and MultiMNIST; digits need nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cotrain.balance.engine import Engine
from cotrain.balance.gallery import BALANCERS
from cotrain.balance.mgda import MGDA
from cotrain.core.fields import Batch, Field
from cotrain.core.randomness import generator
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass
from cotrain.training.evaluate import evaluate
from cotrain.training.gain import half_width
from cotrain.training.loop import Trainer

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COTRAIN_DATA", ROOT.parent / "shared" / "data"))
TRIALS = 3
RATES = (1.0, 0.5, 2.0)
MAIN = ("sum", "static", "uncertainty", "nash_mtl", "upgrad", "famo")


@dataclass(frozen=True)
class Problem:
    """A data set with its network: model() makes it afresh; batches(split, seed) is a function epoch -> batches."""

    model: Callable[[], Model]
    batches: Callable[[str, int], Callable[[int], Any]]
    epochs: int
    rate: float
    primary: str


# ---------------------------------------------------------------------------------------------------------------- data sets


def overlaid(pictures: Tensor, labels: Tensor, pairs: int, offset: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """[N, H + offset, W + offset] pictures of two digits, the brighter pixel winning, and their labels [N, 2]."""
    side = pictures.shape[1] + offset
    left, right = (torch.randint(len(pictures), (pairs,), generator=draw) for _ in range(2))
    canvas = torch.zeros(2, pairs, side, side)
    canvas[0, :, : side - offset, : side - offset] = pictures[left]
    canvas[1, :, offset:, offset:] = pictures[right]
    return canvas.amax(0), torch.stack([labels[left], labels[right]], 1)


def in_memory(
    inputs: dict[str, Tensor], targets: dict[str, Tensor], size: int
) -> Callable[[int, bool], Callable[[int], Any]]:
    """Batches of tensors held in memory, shuffled by (seed, epoch)."""
    rows = len(next(iter(inputs.values())))

    def batches(seed: int, shuffle: bool) -> Callable[[int], Any]:
        def epoch(number: int) -> Any:
            order = (
                torch.randperm(rows, generator=generator(seed, "benchmark", number)) if shuffle else torch.arange(rows)
            )
            for part in torch.split(order, size):
                yield Batch(
                    {name: Field.dense(values[part]) for name, values in inputs.items()},
                    {name: Field.dense(values[part]) for name, values in targets.items()},
                )

        return epoch

    return batches


def splits(
    made: dict[str, tuple[Tensor, Tensor]], names: tuple[str, ...], size: int
) -> Callable[[str, int], Callable[[int], Any]]:
    """{split: (pictures, labels)} as the batches of a Problem."""
    ready = {
        split: in_memory(
            {"x": x}, {name: y[:, index] for index, name in enumerate(names)}, size if split == "train" else 1024
        )
        for split, (x, y) in made.items()
    }
    return lambda split, seed: ready[split](seed, split == "train")


def digits() -> Problem:
    """Two of scikit-learn's 8 x 8 digits overlaid on 12 x 12; digits of train, valid and test are disjoint."""
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pictures / 16.0, dtype=torch.float32).view(-1, 8, 8), torch.tensor(labels)
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=draw)
    parts = {"train": (order[:1100], 10_000), "valid": (order[1100:1300], 2_000), "test": (order[1300:], 4_000)}
    made = {split: overlaid(x[rows], y[rows], pairs, 4, draw) for split, (rows, pairs) in parts.items()}
    flat = {split: (pictures.flatten(1), labels) for split, (pictures, labels) in made.items()}
    names = ("upper", "lower")

    def model() -> Model:
        return Model(
            encoder=MLP(widths=(256, 128), dropout=0.0), tasks=[Multiclass(name, classes=10) for name in names]
        )

    return Problem(model, splits(flat, names, 128), 15, 2e-3, "accuracy")


class LeNet(nn.Module):
    """Two 5 x 5 convolutions and a hidden layer: [B, 1, 28, 28] -> [B, 50], as in the multi-task literature on MultiMNIST."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
            nn.Linear(320, 50), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def idx(name: str) -> Tensor:
    """A gzipped IDX file of the MNIST distribution."""
    raw = gzip.decompress((DATA / "mnist" / name).read_bytes())
    axes = raw[3]
    shape = [int.from_bytes(raw[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes)]
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).copy()).view(*shape)


def multimnist() -> Problem:
    """Two MNIST digits overlaid with an offset of 6 on 34 x 34, resized to 28 x 28; 20,000 / 2,000 / 5,000 pairs."""
    draw = torch.Generator().manual_seed(0)
    made = {}
    for split, kind, rows, pairs in (
        ("train", "train", slice(0, 50_000), 20_000), ("valid", "train", slice(50_000, 60_000), 2_000), ("test", "t10k", slice(0, 10_000), 5_000),
    ):  # fmt: skip
        x = idx(f"{kind}-images-idx3-ubyte.gz")[rows].float() / 255
        y = idx(f"{kind}-labels-idx1-ubyte.gz")[rows].long()
        pictures, labels = overlaid(x, y, pairs, 6, draw)
        small = nn.functional.interpolate(pictures.unsqueeze(1), size=28, mode="nearest")
        made[split] = (small, labels)
    names = ("left", "right")

    def model() -> Model:
        return Model(trunk=LeNet(), tasks=[Multiclass(name, classes=10) for name in names])

    return Problem(model, splits(made, names, 256), 8, 2e-3, "accuracy")


def census(rows: int | None = None) -> Problem:
    """The three tasks of examples/census.yaml, on all training rows or the first `rows` of a shuffle."""
    from cotrain.recipe.config import load_config
    from cotrain.recipe.rows import load_rows

    ready = load_rows(load_config(ROOT / "examples" / "census.yaml"))
    data = ready.data
    if rows is not None:
        train = data.rows("train")
        data.splits["train"] = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:rows]]

    def model() -> Model:
        tasks = [Binary(name) for name in ("income", "never_married", "college")]
        return Model(encoder=MLP(widths=(256, 256)), tasks=tasks).build(ready.specs)

    def batches(split: str, seed: int) -> Callable[[int], Any]:
        size = 512 if split == "train" else 4096
        return lambda epoch: data.batches(split, size, seed=seed, epoch=epoch, shuffle=split == "train")

    return Problem(model, batches, 8 if rows is None else 10, 2e-3, "auc")


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "digits": digits,
    "census20k": lambda: census(20_000),
    "census": census,
    "multimnist": multimnist,
}


# ----------------------------------------------------------------------------------------------------------------- training


def balancer_of(method: str, tasks: list[str], trial: int) -> Any:
    """The method as tried in this trial."""
    if method == "static":
        share = np.random.default_rng(0).dirichlet(np.ones(len(tasks)), TRIALS) * len(tasks)
        weights = dict.fromkeys(tasks, 1.0) if trial == 0 else dict(zip(tasks, share[trial].tolist(), strict=True))
        return BALANCERS["static"](weights=weights)
    if method == "cr_mogm":
        return BALANCERS["cr_mogm"](weigher=MGDA())
    return BALANCERS[method]()


def trained(problem: Problem, method: str, seed: int, trial: int, rate: float, *, test: bool) -> dict[str, Any]:
    """One training: validation score, and test scores if they are asked for."""
    torch.manual_seed(seed)
    model = problem.model()
    model.meet(next(iter(problem.batches("train", seed)(0))))
    engine = Engine(model.parts, balancer_of(method, list(model.tasks), trial), generator=generator(seed, "balance"))
    settings = {
        "epochs": problem.epochs,
        "optimizer": {"name": "adamw", "lr": problem.rate * rate},
        "schedule": {"name": "one_cycle"},
        "early_stopping": None,
    }
    began = time.process_time()
    history = Trainer(model, engine=engine, train=settings, seed=seed).fit(
        problem.batches("train", seed), problem.batches("valid", seed)
    )
    found: dict[str, Any] = {
        "score": max(record["score"] for record in history.records),
        "skipped": history.skipped,
        "cpu_seconds": time.process_time() - began,
        "cosines": history.records[-1].get("cosines"),
    }
    if test:
        scores = evaluate(model, problem.batches("test", seed))
        found["test"] = {task: scores[task][problem.primary] for task in scores}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=", ".join(PROBLEMS))
    parser.add_argument("--main", action="store_true", help="six methods, five seeds")
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--results", type=Path, default=ROOT / "runs" / "methods.jsonl")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    methods = given.methods or (MAIN if given.main else tuple(BALANCERS))
    seeds = given.seeds or (5 if given.main else 3)
    for name in given.problems:
        problem: Problem | None = None
        for method in methods:
            while todo := next(plan(read(given.results), name, method, seeds), None):
                trial, seed, test = todo
                problem = problem or PROBLEMS[name]()
                rate = RATES[best_trial(read(given.results), name, "sum") if method == "static" else trial]
                found = trained(problem, method, seed, trial, rate, test=test)
                line = {"problem": name, "method": method, "seed": seed, "trial": trial, **found}
                with given.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)
    if given.table:
        print(table(read(given.results)))


def best_trial(lines: list[dict[str, Any]], name: str, method: str) -> int:
    """The trial with the best validation score."""
    tried = {
        line["trial"]: line["score"]
        for line in lines
        if line["problem"] == name and line["method"] == method and "test" not in line
    }
    if len(tried) < TRIALS:
        raise SystemExit(f"{name}: run the trials of '{method}' first")
    return max(tried, key=lambda trial: tried[trial])


def plan(lines: list[dict[str, Any]], name: str, method: str, seeds: int) -> Any:
    """What is still to be trained: trials on seed 0, then every seed with the best of them."""
    mine = [line for line in lines if line["problem"] == name and line["method"] == method]
    tried = {line["trial"]: line["score"] for line in mine if "test" not in line}
    for trial in range(TRIALS):
        if trial not in tried:
            yield trial, 0, False
    if len(tried) < TRIALS:
        return
    best = best_trial(lines, name, method)
    done = {line["seed"] for line in mine if "test" in line}
    for seed in range(seeds):
        if seed not in done:
            yield best, seed, True


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown: test scores (mean and 95 % interval over seeds), and CPU seconds over those of the plain sum."""
    out = []
    for name in dict.fromkeys(line["problem"] for line in lines):
        mine = [line for line in lines if line["problem"] == name and "test" in line]
        tasks = list(mine[0]["test"]) if mine else []
        base = np.median([line["cpu_seconds"] for line in mine if line["method"] == "sum"] or [np.nan])
        out += [
            f"\n### {name}\n",
            "| method | seeds | " + " | ".join(tasks) + " | mean | time |",
            "|" + "---|" * (len(tasks) + 4),
        ]
        rows = []
        for method in dict.fromkeys(line["method"] for line in mine):
            runs = [line for line in mine if line["method"] == method]
            cells = [spread([line["test"][task] for line in runs]) for task in tasks]
            means = [float(np.mean(list(line["test"].values()))) for line in runs]
            seconds = float(np.median([line["cpu_seconds"] for line in runs])) / base
            text = f"| {method} | {len(runs)} | " + " | ".join(cells) + f" | {spread(means)} | {seconds:.2f} x |"
            rows.append((float(np.mean(means)), text))
        out += [text for _, text in sorted(rows, reverse=True)]
    return "\n".join(out)


def spread(values: list[float]) -> str:
    """Mean and the half width of its 95 % interval over seeds."""
    if len(values) < 2:
        return f"{np.mean(values):.4f}"
    half = half_width(float(np.var(values, ddof=1)) / len(values), 0.0, len(values))
    return f"{np.mean(values):.4f} ± {half:.4f}"


if __name__ == "__main__":
    main()
