"""How often each method that promises to harm no task breaks its promise, on drawn Jacobians.

    python benchmarks/promises.py [--draws 10000] [--torchjd] [--out results.jsonl]

2 to 12 tasks, as many to four times as many parameters, float64, the rows' lengths spread over 0, 2 and 4 decades. A task is harmed
where <g_k, d> < -1e-6 |g_k| |d|. One JSON line for each method and spread: draws, cases with a harmed task, the worst cosine, how
often the method said that its solver stopped early, mean milliseconds. The same draws for every method.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from cotrain.balance.cagrad import CAGrad
from cotrain.balance.careful import GramianWeigher
from cotrain.balance.dualproj import DualProj
from cotrain.balance.fairgrad import FairGrad
from cotrain.balance.mgda import MGDA
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.promises import HARMLESS, drawn
from cotrain.balance.upgrad import UPGrad

OURS: dict[str, Callable[[], GramianWeigher]] = {
    "UPGrad": UPGrad,
    "DualProj": DualProj,
    "MGDA": MGDA,
    "CAGrad c=1": lambda: CAGrad(c=1.0),
    "NashMTL": NashMTL,
    "FairGrad alpha=1": FairGrad,
    "FairGrad alpha=2": lambda: FairGrad(alpha=2.0),
}


def theirs() -> dict[str, Callable[[Tensor], Tensor]]:
    """TorchJD's weightings of the same names."""
    from torchjd.aggregation import DualProjWeighting, MGDAWeighting, UPGradWeighting

    return {
        "TorchJD UPGrad": UPGradWeighting(),
        "TorchJD DualProj": DualProjWeighting(),
        "TorchJD MGDA": MGDAWeighting(),
    }


def measure(
    name: str, weigh: Callable[[Tensor], Tensor], notes: Callable[[], list[str]], draws: int, decades: float
) -> str:
    """One JSON line."""
    harmed, said, worst, seconds = 0, 0, 0.0, 0.0
    for step in drawn(draws, decades, seed=2026):
        gramian = step.jacobian @ step.jacobian.mT
        start = time.perf_counter()
        weights = weigh(gramian)
        seconds += time.perf_counter() - start
        direction = weights @ step.jacobian
        length = float(direction.norm())
        products = step.jacobian @ direction / step.jacobian.norm(dim=1) / (length if length > 0 else 1.0)
        found = max(0.0, -float(products.min()))
        worst, harmed, said = max(worst, found), harmed + (found > HARMLESS), said + bool(notes())
    line = {"method": name, "decades": decades, "draws": draws, "harmed": harmed, "worst": worst, "noted": said}
    return json.dumps({**line, "ms": round(1000 * seconds / draws, 3)})


def main() -> None:
    """Measure and append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--torchjd", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for decades in (0.0, 2.0, 4.0):
        for name, make in OURS.items():
            method = make()
            _say(measure(name, method.weights, method.notes, arguments.draws, decades), arguments.out)
        for name, weigh in (theirs() if arguments.torchjd else {}).items():
            _say(measure(name, weigh, list, min(arguments.draws, 1000), decades), arguments.out)


def _say(line: str, out: Path | None) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    if out is not None:
        with out.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
