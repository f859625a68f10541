"""Row norms and cosines of a Gramian: the form in which every solver works.

G = N C N with N = diag(n), n_k = |g_k|, C the matrix of cosines. Solving in C and dividing by n is what makes an answer the
same at 1e-20 and 1e20 and accurate when each row has its own scale; no epsilon is ever added to a Gramian.
"""

from __future__ import annotations

import torch
from torch import Tensor


def norms_and_cosines(gramian: Tensor) -> tuple[Tensor, Tensor]:
    """(n [T], C [T, T]) of a Gramian [T, T] with positive diagonal, float64.

    C is symmetric, has a unit diagonal and entries in [-1, 1]; it is positive semi-definite up to rounding: a Gramian that
    came through bfloat16 or float32 is first brought back to the nearest such matrix.

    >>> n, C = norms_and_cosines(torch.tensor([[4.0, -3.0], [-3.0, 9.0]], dtype=torch.float64))
    >>> n.tolist(), C[0].tolist()
    ([2.0, 3.0], [1.0, -0.5])
    """
    norms = gramian.diagonal().sqrt()
    cosines: Tensor = gramian / norms / norms.unsqueeze(-1)
    cosines = (0.5 * (cosines + cosines.mT)).clamp_(-1.0, 1.0)
    cosines.diagonal().fill_(1.0)
    return norms, positive(cosines)


def positive(cosines: Tensor, tolerance: float = 1e-11) -> Tensor:
    """`cosines` itself where it is positive semi-definite up to `tolerance`, else the nearest such matrix, rescaled to a unit
    diagonal (Higham 1988: eigenvalues below zero set to zero).
    """
    raised = cosines.clone()
    raised.diagonal().add_(tolerance)
    _, failed = torch.linalg.cholesky_ex(raised)
    if int(failed) == 0:
        return cosines
    values, vectors = torch.linalg.eigh(cosines)
    lifted: Tensor = (vectors * values.clamp_min(0.0)) @ vectors.mT
    length = lifted.diagonal().clamp_min(torch.finfo(lifted.dtype).tiny).sqrt()
    lifted = lifted / length / length.unsqueeze(-1)
    lifted.diagonal().fill_(1.0)
    return lifted


def balanced(cosines: Tensor) -> Tensor:
    """a [T] = C^+ 1: sum_k a_k e_k over unit rows e_k has the same inner product with each row, where that is possible.

    Eigenvalues below 1e-12 of the largest count as zero. Where 1 has no part in C's range (opposite rows), a = 1.

    >>> [round(a, 6) for a in balanced(torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)).tolist()]
    [0.666667, 0.666667]
    """
    ones = torch.ones_like(cosines[0])
    factor, failed = torch.linalg.cholesky_ex(cosines)
    if int(failed) == 0 and float(factor.diagonal().min()) > 1e-4:
        return torch.cholesky_solve(ones.unsqueeze(-1), factor).squeeze(-1)
    values, vectors = torch.linalg.eigh(cosines)
    parts = vectors.mT @ ones
    kept = (values > 1e-12 * values[-1]) & (parts.square() > 1e-24 * len(ones))
    found: Tensor = vectors[:, kept] @ (parts[kept] / values[kept])
    return found if bool(kept.any()) and float(found @ cosines @ found) > 1e-18 * float(found @ found) else ones
