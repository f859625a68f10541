"""Milliseconds for the weights alone: every method that reads a Gramian, beside TorchJD's of the same name.

    python benchmarks/solvers.py [--tasks 2 8 32 64] [--draws 30] [--rank 4] [--alone] [--markdown]

One thread, float64, the same drawn Gramians (P = rank x K, rows' lengths over one decade) for all; --alone leaves TorchJD out. Methods
take turns on each Gramian, so that a busy moment of the machine falls on all alike; the median is reported, of process time. Only K x K
Gramians are handed over, as in a training step; ConFIG is timed on a Jacobian in TorchJD, which has no Gramian form. One JSON line a
method and K; TorchJD's Nash-MTL, CAGrad, UPGrad and DualProj need its extras (cvxpy, ecos, clarabel, quadprog) and are left out, and
said, where those are absent.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from cotrain.balance.aligned_mtl import AlignedMTL
from cotrain.balance.cagrad import CAGrad
from cotrain.balance.config import ConFIG
from cotrain.balance.conformance import drawn_jacobian
from cotrain.balance.db_mtl import DBMTL
from cotrain.balance.dualproj import DualProj
from cotrain.balance.fairgrad import FairGrad
from cotrain.balance.gradvac import GradVac
from cotrain.balance.imtl_g import IMTLG
from cotrain.balance.mgda import MGDA
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.pcgrad import PCGrad
from cotrain.balance.upgrad import UPGrad

Weigh = Callable[[Tensor], Tensor]
SLOW = 0.5
"""A method slower than this many seconds is drawn three times only."""


def ours() -> dict[str, Weigh]:
    """Our methods."""
    losses = DBMTL()
    return {
        "NashMTL": NashMTL().weights,
        "FairGrad": FairGrad(alpha=2.0).weights,
        "MGDA": MGDA().weights,
        "UPGrad": UPGrad().weights,
        "DualProj": DualProj().weights,
        "CAGrad": CAGrad(c=0.4).weights,
        "IMTLG": IMTLG().weights,
        "AlignedMTL": AlignedMTL().weights,
        "ConFIG": ConFIG().weights,
        "PCGrad": PCGrad().weights,
        "GradVac": GradVac().weights,
        "DBMTL": lambda gramian: losses.weights(gramian, torch.ones(len(gramian), dtype=gramian.dtype)),
    }


def theirs(tasks: int) -> dict[str, Weigh]:
    """TorchJD's, as far as their own dependencies are there."""
    import torchjd.aggregation as jd

    def nash() -> Weigh:
        method = jd.NashMTL(n_tasks=tasks, max_norm=0.0, update_weights_every=1, optim_niter=20)
        return lambda gramian: torch.as_tensor(method.weighting(torch.linalg.cholesky(gramian)))

    makers: dict[str, Callable[[], Weigh]] = {
        "NashMTL": nash,
        "FairGrad": lambda: jd.FairGradWeighting(alpha=2.0),
        "MGDA": jd.MGDAWeighting,
        "UPGrad": jd.UPGradWeighting,
        "DualProj": jd.DualProjWeighting,
        "CAGrad": lambda: jd.CAGradWeighting(c=0.4),
        "IMTLG": jd.IMTLGWeighting,
        "AlignedMTL": jd.AlignedMTLWeighting,
        "ConFIG": lambda: jd.ConFIG(),
        "PCGrad": jd.PCGradWeighting,
        "GradVac": jd.GradVacWeighting,
    }
    found: dict[str, Weigh] = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as error:
            sys.stderr.write(f"TorchJD {name} left out: {error}\n")
    return found


def measured(tasks: int, draws: int, rank: float, alone: bool) -> list[dict[str, object]]:
    """One record a method: the medians for K = `tasks`, from rows of `rank` K numbers."""
    generator = torch.Generator().manual_seed(tasks)
    contenders = {("ours", name): weigh for name, weigh in ours().items()}
    if not alone:
        contenders |= {("TorchJD", name): weigh for name, weigh in theirs(tasks).items()}
    times: dict[tuple[str, str], list[float]] = {key: [] for key in contenders}
    for draw in range(draws + 1):
        jacobian = drawn_jacobian(generator, tasks, max(1, round(rank * tasks)), 1.0)
        gramian = jacobian @ jacobian.mT
        for key, weigh in contenders.items():
            if len(times[key]) >= 3 and statistics.median(times[key]) > SLOW:
                continue
            start = time.process_time()
            weigh(jacobian if key == ("TorchJD", "ConFIG") else gramian)
            if draw > 0:  # the first round warms up
                times[key].append(time.process_time() - start)
    return [
        {
            "K": tasks,
            "whose": whose,
            "method": name,
            "ms": round(1000 * statistics.median(spent), 3),
            "draws": len(spent),
        }
        for (whose, name), spent in times.items()
    ]


def table(records: list[dict[str, object]]) -> str:
    """The records as a Markdown table, ours / TorchJD's."""
    sizes = sorted({int(str(record["K"])) for record in records})
    found = {(record["K"], record["whose"], record["method"]): record["ms"] for record in records}
    lines = [
        "| method | " + " | ".join(f"K={size} ours / TorchJD" for size in sizes) + " |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for name in ours():
        cells = [f"{found[size, 'ours', name]} / {found.get((size, 'TorchJD', name), '-')}" for size in sizes]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 8, 32, 64])
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--rank", type=float, default=4.0)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    records: list[dict[str, object]] = []
    for tasks in arguments.tasks:
        for record in measured(tasks, arguments.draws, arguments.rank, arguments.alone):
            records.append(record)
            sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()
    if arguments.markdown:
        sys.stdout.write(table(records) + "\n")


if __name__ == "__main__":
    main()
