"""Aligned-MTL: gradients made orthogonal and of one length before they are averaged."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.protocol import Family, Seen
from cotrain.core.errors import ConfigError

Scale = Literal["min", "median", "rmse"]


def aligned_weights(gramian: Tensor, scale: Scale) -> Tensor:
    """w = sigma G^(-1/2) 1/T [T] over the eigenvalues of G [T, T] above T eps of the largest; sigma^2 = min, median or mean."""
    tasks = len(gramian)
    size = gramian.diagonal().mean()
    values, vectors = torch.linalg.eigh(gramian / size)
    kept = values > values[-1] * tasks * torch.finfo(values.dtype).eps
    values, vectors = values[kept], vectors[:, kept]
    sigma = {"min": values[0], "median": values.median(), "rmse": values.mean()}[scale]
    weights: Tensor = vectors @ ((sigma / values).sqrt() * (vectors.sum(dim=0) / tasks))
    return weights


@final
class AlignedMTL(GramianWeigher):
    """w = sigma G^(-1/2) 1/T: the mean of the orthogonal, equally long vectors nearest to the gradients.

    G [T, T] is the Gramian; sigma^2 is its smallest eigenvalue ("min", the paper's choice and default), their median ("median",
    the lower one of two) or mean ("rmse"), the three scalings of the authors' code. Eigenvalues below T eps of the largest are
    left out, as there (eps of float64 here, of float32 there): where gradients are dependent the rank decides the result. G is
    divided by its mean diagonal first, which changes nothing else. The authors sum over tasks where the paper averages; the
    engine's length decides. Weights may be negative; no task is promised not to be harmed. Raises ConfigError for another scale.

    Source: Senushkin et al., "Independent Component Alignment for Multi-Task Learning", CVPR 2023, algorithm 1
    (scalings checked in the authors' code, SamsungLabs/MTL).

    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    >>> AlignedMTL().weights(gramian).tolist()
    [0.5, 0.25]
    """

    name: ClassVar[str] = "aligned_mtl"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = (
        "Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023, algorithm 1"
    )
    cost: ClassVar[str] = "1 Gramian step"

    def __init__(self, *, scale: Scale = "min") -> None:
        super().__init__()
        if scale not in ("min", "median", "rmse"):
            raise ConfigError(f"aligned_mtl: scale is 'min', 'median' or 'rmse'; got '{scale}'; 'min' is the paper's")
        self._scale: Scale = scale

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        return aligned_weights(gramian_of(seen), self._scale)
