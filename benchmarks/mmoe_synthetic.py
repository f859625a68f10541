"""MMoE's own synthetic data: does the gap to hard sharing grow as the tasks' correlation falls?

    python benchmarks/mmoe_synthetic.py --seconds 480            trains what is missing, for so many CPU seconds, and prints the table
    python benchmarks/mmoe_synthetic.py --seconds 900 --rows 100000 --epochs 10 --folder runs/mmoe_more      more rows and steps
    python benchmarks/mmoe_synthetic.py --figure docs/images/mmoe_synthetic.svg

    y_k = w_k x + sum_(i=1..m) sin(a_i w_k x + b_i) + e,    w_1 = c u_1,  w_2 = c (p u_1 + sqrt(1 - p^2) u_2)

x ~ N(0, I) in 100 dimensions, u_1 and u_2 orthogonal unit vectors, e ~ N(0, .01). p is the cosine of the two weight vectors; the labels'
own (Pearson) correlation rises with it. c = 1; m = 4 sines with a = 1, 2, 3, 4 and b = 0, .5, 1, 1.5: the paper leaves them open.

Networks as in the paper's section on these data: MMoE with 8 experts of one hidden layer of 16, a tower of 8 a task; shared-bottom with one
hidden layer as wide as makes its parameters as many (to half a per cent), and the same towers. AdamW, learning rate chosen from two by the
validation rows, for each network, correlation and seed on its own. A seed draws the directions, the rows, the initial values and the order
of rows. Reported: squared error on test rows in shares of the labels' variance, mean over the two tasks; the gap is shared-bottom's
minus MMoE's, paired by seed, with a 95 % t interval.

Source: J. Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018, section 3.2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor

from cotrain.core.randomness import generator
from cotrain.encoders.mlp import MLP
from cotrain.heads.mlp import MLPHead
from cotrain.model.compose import Model
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.regression import Regression
from cotrain.training.evaluate import evaluate
from cotrain.training.loop import Trainer

INPUTS, EXPERTS, WIDTH, TOWER = 100, 8, 16, 8
TASKS = ("y1", "y2")
CORRELATIONS = (0.0, 0.5, 0.9, 1.0)
RATES = (0.003, 0.01)
SINES = tuple((float(i), 0.5 * (i - 1)) for i in (1, 2, 3, 4))
ROWS = {"train": 10_000, "valid": 4_000, "test": 10_000}
EPOCHS, BATCH = 20, 256

Rows = tuple[Tensor, dict[str, Tensor]]


def drawn(correlation: float, seed: int, rows: int = ROWS["train"]) -> tuple[dict[str, Rows], float]:
    """({split: (x, {task: y})}, Pearson correlation of the labels)."""
    draw = generator(seed, "mmoe synthetic")
    basis, _ = torch.linalg.qr(torch.randn(INPUTS, 2, generator=draw))
    directions = torch.stack((basis[:, 0], correlation * basis[:, 0] + (1 - correlation**2) ** 0.5 * basis[:, 1]), 1)
    counts = {**ROWS, "train": rows}
    x = torch.randn(sum(counts.values()), INPUTS, generator=draw)
    seen = x @ directions
    y = seen + sum(torch.sin(a * seen + b) for a, b in SINES) + 0.1 * torch.randn(seen.shape, generator=draw)
    y = (y - y.mean(0)) / y.std(0)
    pearson = float((y[:, 0] * y[:, 1]).mean())
    parts = zip(counts, torch.split(x, list(counts.values())), torch.split(y, list(counts.values())), strict=True)
    return {name: (one, dict(zip(TASKS, labels.unbind(1), strict=True))) for name, one, labels in parts}, pearson


def network(name: str) -> Model:
    """One of the two networks, of as many parameters."""
    tasks, head = [Regression(task) for task in TASKS], MLPHead(widths=[TOWER])
    if name == "mmoe":
        experts = MMoE(experts=EXPERTS, split=0)
        return Model(encoder=MLP(widths=[WIDTH], dropout=0.0), sharing=experts, tasks=tasks, head=head)
    whole = EXPERTS * (INPUTS + 1) * WIDTH + len(TASKS) * (EXPERTS * INPUTS + TOWER * WIDTH)
    wide = round(whole / (INPUTS + 1 + len(TASKS) * TOWER))
    return Model(encoder=MLP(widths=[wide], dropout=0.0), sharing=Hard(), tasks=tasks, head=head)


def trained(
    name: str, rate: float, rows: dict[str, Rows], seed: int, epochs: int = EPOCHS
) -> tuple[dict[str, float], int]:
    """({valid, test: squared error, mean over tasks}, parameters)."""
    model = network(name)
    train: dict[str, Any] = {
        "epochs": epochs, "batch_size": BATCH, "optimizer": {"name": "adamw", "lr": rate, "weight_decay": 0.0},
        "early_stopping": None, "diagnose": None, "loss_scale": "none", "monitor": "loss", "threads": 1,
    }  # fmt: skip
    Trainer(model, train=train, seed=seed).fit(rows["train"], rows["valid"])
    found = {}
    for split in ("valid", "test"):
        scores = evaluate(model, rows[split])
        found[split] = statistics.fmean(scores[task]["rmse"] ** 2 for task in TASKS)
    return found, sum(one.numel() for one in model.parameters())


def measured(folder: Path, seeds: int, seconds: float, train: int = ROWS["train"], epochs: int = EPOCHS) -> None:
    """Train what is missing, seed by seed, and keep each training on a line of its own."""
    kept = folder / "mmoe_synthetic.jsonl"
    done = {tuple(one["key"]) for one in lines(kept)}
    end = time.process_time() + seconds
    for seed, correlation in product(range(seeds), CORRELATIONS):
        rows = None
        for name, rate in product(("shared-bottom", "mmoe"), RATES):
            if (name, correlation, seed, rate) in done:
                continue
            if time.process_time() > end:
                print(f"stopped after {seconds:.0f} CPU seconds; call again for the rest", file=sys.stderr)
                return
            rows = rows or drawn(correlation, seed, train)
            found, parameters = trained(name, rate, rows[0], seed, epochs)
            line = {"key": [name, correlation, seed, rate], **found, "pearson": rows[1], "parameters": parameters}
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def chosen(folder: Path) -> dict[tuple[str, float], dict[int, dict[str, Any]]]:
    """{(network, correlation): {seed: its training with the best validation error}}; seeds of which a rate is missing are left out."""
    found: dict[tuple[str, float], dict[int, list[dict[str, Any]]]] = {}
    for one in lines(folder / "mmoe_synthetic.jsonl"):
        name, correlation, seed, _ = one["key"]
        found.setdefault((name, correlation), {}).setdefault(seed, []).append(one)
    return {
        key: {
            seed: min(runs, key=lambda one: one["valid"]) for seed, runs in by_seed.items() if len(runs) == len(RATES)
        }
        for key, by_seed in found.items()
    }


def gaps(folder: Path) -> list[dict[str, float]]:
    """One entry a correlation: errors of both networks, the gap and half its interval."""
    best = chosen(folder)
    out = []
    for correlation in CORRELATIONS:
        bottom, experts = (best.get((name, correlation), {}) for name in ("shared-bottom", "mmoe"))
        seeds = sorted(set(bottom) & set(experts))
        if not seeds:
            continue
        apart = [bottom[seed]["test"] - experts[seed]["test"] for seed in seeds]
        spread = (
            statistics.stdev(apart) * student.ppf(0.975, len(apart) - 1) / len(apart) ** 0.5
            if len(apart) > 1
            else float("nan")
        )
        out.append(
            {
                "correlation": correlation,
                "pearson": statistics.fmean(bottom[seed]["pearson"] for seed in seeds),
                "bottom": statistics.fmean(bottom[seed]["test"] for seed in seeds),
                "mmoe": statistics.fmean(experts[seed]["test"] for seed in seeds),
                "gap": statistics.fmean(apart),
                "half": spread,
                "seeds": len(seeds),
            }
        )
    return out


def table(found: list[dict[str, float]]) -> str:
    """As Markdown."""
    head = "| cosine of the weights | correlation of the labels | shared-bottom | MMoE | gap | seeds |"
    rows = [
        f"| {one['correlation']:.2f} | {one['pearson']:.2f} | {one['bottom']:.4f} | {one['mmoe']:.4f} | "
        f"{one['gap']:+.4f} ± {one['half']:.4f} | {one['seeds']:.0f} |"
        for one in found
    ]
    return "\n".join([head, "|---" * 6 + "|", *rows])


def figure(found: list[dict[str, float]]) -> str:
    """The gap against the correlation as one SVG, with its intervals."""
    wide, high, left, right, top, bottom = 640, 330, 78, 20, 44, 52
    ends = [one["gap"] + side * one["half"] for one in found for side in (-1, 1)]
    step = next(
        size
        for size in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
        if (max(*ends, 0) - min(*ends, 0)) / size <= 7
    )
    low, above = step * (min(*ends, 0) // step), step * -(-max(*ends, 0) // step)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + 8 + (wide - left - right - 16) * x, top + (high - top - bottom) * (above - y) / (above - low)

    grey, ink, blue = "#6b6f76", "#23262b", "#3a49c9"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="13" role="img">',
        "<title>Shared-bottom's test error minus MMoE's against the cosine of the tasks' weights</title>",
        f'<rect width="{wide}" height="{high}" fill="#fff"/>',
        f'<text x="{left}" y="24" fill="{ink}" font-size="15" font-weight="600">Error of shared-bottom minus that of MMoE</text>',
    ]
    for place in range(round((above - low) / step) + 1):
        value = low + place * step
        y = at(0, value)[1]
        parts.append(
            f'<line x1="{left}" x2="{wide - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{"#9a9ea5" if abs(value) < step / 2 else "#e4e5e8"}"/>'
        )
        parts.append(
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{grey}">{value + 0.0:.{3 if step < 0.01 else 2}f}</text>'
        )
    for one in found:
        x, y = at(one["correlation"], one["gap"])
        y0, y1 = (at(0, one["gap"] + side * one["half"])[1] for side in (-1, 1))
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y0:.1f}" y2="{y1:.1f}" stroke="{blue}" stroke-width="1.5"/>'
        )
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{blue}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{high - bottom + 20}" text-anchor="middle" fill="{grey}">{one["correlation"]:g}</text>'
        )
    line = " ".join("{:.1f},{:.1f}".format(*at(one["correlation"], one["gap"])) for one in found)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{blue}" stroke-width="1.75"/>')
    parts.append(
        f'<text x="{(left + wide - right) / 2}" y="{high - 10}" text-anchor="middle" fill="{ink}">cosine of the two tasks\' weight vectors</text>'
    )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="train what is missing for so many CPU seconds; 0 trains nothing"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/mmoe_synthetic"), help="where what is done is kept")
    parser.add_argument(
        "--rows", type=int, default=ROWS["train"], help="training rows; other ones want a folder of their own"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--figure", type=Path, help="an SVG file to write")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.seconds:
        measured(given.folder, given.seeds, given.seconds, given.rows, given.epochs)
    found = gaps(given.folder)
    print(table(found))
    if given.figure is not None:
        given.figure.write_text(figure(found), encoding="utf-8")


if __name__ == "__main__":
    main()
