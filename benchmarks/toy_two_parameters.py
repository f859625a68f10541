"""The two-parameter problem of CAGrad (2021), Nash-MTL (2022) and FAMO (2023): who reaches the Pareto front, from where.

    python benchmarks/toy_two_parameters.py [--steps 100000]

x = (a, b);  u1 = (-a - 7)/2 + tanh b,  u2 = (-a + 3)/2 - tanh b + 2,  v_i = log max(|u_i|, 5e-6) + 6,
q1 = ((a - 7)^2 + (b + 8)^2 / 10) / 10 - 20,  q2 the same with a + 7,  c1 = max(tanh b/2, 0),  c2 = max(-tanh b/2, 0),
f1 = s (v1 c1 + q1 c2),  f2 = v2 c1 + q2 c2.   Adam, rate 1e-3, exact gradients, the methods' own lengths (Nash-MTL's clipped to one).

s = 1 from three starts (CAGrad's), s = 0.1 from five (Nash-MTL's and FAMO's). A run has arrived when some point of the front, found on a
grid over [-12, 12]^2, is no better by 0.05 in both tasks (task 1 in units of s). All runs go in one batch: for two tasks each method has
a closed form, written below for many Gramians at once and compared with the package's own class on every run at 40 moments of the way.
Fewer than 100,000 steps are too few: from (9, 9) at s = 0.1 CAGrad, PCGrad and UPGrad are still on their way at 50,000.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from cotrain.balance.aligned_mtl import AlignedMTL
from cotrain.balance.cagrad import CAGrad
from cotrain.balance.careful import GramianWeigher
from cotrain.balance.imtl_g import IMTLG
from cotrain.balance.mgda import MGDA
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.upgrad import UPGrad

STARTS = {
    1.0: [(-8.5, 7.5), (-8.5, -5.0), (9.0, 9.0)],
    0.1: [(-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0)],
}
CHECKS = 40


def losses_of(point: Tensor, scale: Tensor) -> Tensor:
    """f [N, 2] at `point` [N, 2] for the scales s [N]."""
    a, b = point.unbind(-1)
    bend = torch.tanh(b)
    first, second = 0.5 * (-a - 7) + bend, 0.5 * (-a + 3) - bend + 2
    v1, v2 = (value.abs().clamp_min(5e-6).log() + 6 for value in (first, second))
    q1, q2 = (((a - side) ** 2 + 0.1 * (b + 8) ** 2) / 10 - 20 for side in (7, -7))
    c1, c2 = torch.tanh(b / 2).clamp_min(0), torch.tanh(-b / 2).clamp_min(0)
    return torch.stack((scale * (v1 * c1 + q1 * c2), v2 * c1 + q2 * c2), dim=-1)


def _parts(gramian: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return gramian[:, 0, 0], gramian[:, 0, 1], gramian[:, 1, 1]


def sum_two(gramian: Tensor) -> Tensor:
    """Ones."""
    return torch.ones_like(gramian[:, 0])


def mgda_two(gramian: Tensor) -> Tensor:
    """The shortest point of a segment."""
    one, cross, two = _parts(gramian)
    share = ((two - cross) / (one + two - 2 * cross)).clamp(0, 1)
    return torch.stack((share, 1 - share), dim=-1)


def upgrad_two(gramian: Tensor) -> Tensor:
    """Each gradient without what opposes the other, averaged; PCGrad's direction too."""
    one, cross, two = _parts(gramian)
    against = cross.clamp_max(0)
    return 0.5 * torch.stack((1 - against / one, 1 - against / two), dim=-1)


def cagrad_two(gramian: Tensor, c: float = 0.4) -> Tensor:
    """The stationary point of p w + k sqrt(A w^2 + 2 B w + C), clipped to [0, 1]."""
    one, cross, two = _parts(gramian)
    radius = c * (one + two + 2 * cross).clamp_min(0).sqrt() / 2
    slope, square, line = 0.5 * (one - two), one + two - 2 * cross, cross - two
    ratio = -slope / radius
    height = (square * two - line**2).clamp_min(0) / square**2
    inner = ratio.sign() * (ratio**2 * height / (square - ratio**2).clamp_min(1e-300)).sqrt() - line / square
    share = torch.where(ratio**2 < square, inner.clamp(0, 1), (slope <= 0).to(one.dtype))
    weights = torch.stack((share, 1 - share), dim=-1)
    length = torch.einsum("ni,nij,nj->n", weights, gramian, weights).clamp_min(1e-300).sqrt()
    return 0.5 + (radius / length).unsqueeze(-1) * weights


def nash_two(gramian: Tensor) -> Tensor:
    """1 / (n_k sqrt(1 + cos))."""
    one, cross, two = _parts(gramian)
    norms = torch.stack((one, two), dim=-1).sqrt()
    cosine = cross / norms.prod(-1)
    return 1 / (norms * (1 + cosine).clamp_min(1e-10).sqrt().unsqueeze(-1))


def imtl_two(gramian: Tensor) -> Tensor:
    """Inverse norms, sum one."""
    norms = gramian.diagonal(dim1=-2, dim2=-1).sqrt()
    return norms.flip(-1) / norms.sum(-1, keepdim=True)


def aligned_two(gramian: Tensor) -> Tensor:
    """sqrt(lambda_min) G^-1/2 (1/2, 1/2), over the eigenvalues that are not zero to rounding."""
    values, vectors = torch.linalg.eigh(gramian)
    kept = values > values[:, 1:] * 2 * torch.finfo(values.dtype).eps
    least = torch.where(kept[:, 0], values[:, 0], values[:, 1]).unsqueeze(-1)
    scales = torch.where(kept, (least / torch.where(kept, values, 1.0)).sqrt(), 0.0)
    return 0.5 * torch.einsum("nij,nj,nkj->ni", vectors, scales, vectors)


METHODS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[], GramianWeigher] | None]] = {
    "Sum": (sum_two, None),
    "MGDA": (mgda_two, MGDA),
    "UPGrad = PCGrad": (upgrad_two, UPGrad),
    "CAGrad c=0.4": (cagrad_two, CAGrad),
    "NashMTL": (nash_two, NashMTL),
    "IMTLG": (imtl_two, IMTLG),
    "AlignedMTL": (aligned_two, AlignedMTL),
}


def run(steps: int) -> tuple[Tensor, Tensor, float]:
    """The points reached [methods, starts, 2], the scales [starts], and the largest difference to the package's classes."""
    places = [(start, scale) for scale, starts in STARTS.items() for start in starts]
    count, runs = len(METHODS), len(places)
    scales = torch.tensor([scale for _, scale in places], dtype=torch.float64)
    scale = scales.repeat(count)
    point = torch.tensor([start for start, _ in places], dtype=torch.float64).repeat(count, 1)
    clipped = torch.tensor([name == "NashMTL" for name in METHODS]).repeat_interleave(runs).unsqueeze(-1)
    first, second, worst = torch.zeros_like(point), torch.zeros_like(point), 0.0
    for step in range(1, steps + 1):
        free = point.requires_grad_(True)
        losses = losses_of(free, scale)
        rows = [torch.autograd.grad(losses[:, task].sum(), free, retain_graph=task == 0)[0] for task in (0, 1)]
        jacobian = torch.stack(rows, dim=1)
        gramian = jacobian @ jacobian.mT
        weights = torch.cat([form(gramian[i * runs : (i + 1) * runs]) for i, (form, _) in enumerate(METHODS.values())])
        if step % max(1, steps // CHECKS) == 1:
            worst = max(worst, difference(gramian, weights, runs))
        slope = (weights.unsqueeze(-1) * jacobian).sum(1)
        slope = torch.where(clipped, slope / slope.norm(dim=-1, keepdim=True).clamp_min(1.0), slope)
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        moved = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        point = point.detach() - 1e-3 * moved
    return point.reshape(count, runs, 2), scales, worst


def difference(gramian: Tensor, weights: Tensor, runs: int) -> float:
    """The largest angle, as a chord, between d by the closed form and by the class; parallel and opposite gradients are passed over."""
    worst = 0.0
    for place, (_, make) in enumerate(METHODS.values()):
        for row in range(place * runs, (place + 1) * runs):
            matrix = gramian[row]
            cosine = float(matrix[0, 1] / (matrix[0, 0] * matrix[1, 1]).sqrt())
            if make is None or not abs(cosine) < 0.999:
                continue
            mine, other = make().weights(matrix), weights[row]
            lengths = [float((w @ matrix @ w).sqrt()) for w in (mine, other)]
            between = mine / lengths[0] - other / lengths[1]
            worst = max(worst, float((between @ matrix @ between).clamp_min(0).sqrt()))
    return worst


def front(scale: float, cells: int = 1500) -> Tensor:
    """The non-dominated losses [F, 2] on a grid over [-12, 12]^2."""
    line = torch.linspace(-12, 12, cells, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    losses = losses_of(grid, torch.full((len(grid),), scale, dtype=torch.float64))
    losses = losses[losses[:, 0].argsort(stable=True)]
    best = losses[:, 1].cummin(0).values
    return losses[torch.cat((torch.tensor([True]), losses[1:, 1] < best[:-1]))]


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    start = time.perf_counter()
    points, scales, worst = run(steps)
    out = [f"{steps} steps, {time.perf_counter() - start:.0f} s; largest difference to the classes {worst:.1e}", ""]
    out += ["| method | s=1, 3 starts | s=0.1, 5 starts | points reached |", "|---|---|---|---|"]
    fronts = {scale: front(scale) for scale in STARTS}
    for name, reached in zip(METHODS, points, strict=True):
        losses = losses_of(reached, scales)
        arrived = dict.fromkeys(STARTS, 0)
        shown = []
        for place, scale in enumerate(scales.tolist()):
            excess = (losses[place] - fronts[scale]) / torch.tensor([scale, 1.0], dtype=torch.float64)
            there = bool(excess.amax(-1).min() < 0.05)
            arrived[scale] += there
            shown.append(f"({reached[place, 0]:.2f}, {reached[place, 1]:.2f})" + ("" if there else " no"))
        out.append(f"| {name} | {arrived[1.0]} | {arrived[0.1]} | {'; '.join(shown)} |")
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
