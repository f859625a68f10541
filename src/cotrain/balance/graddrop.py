"""GradDrop: where tasks disagree on a sign, one sign is drawn and the other dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from cotrain.balance.draws import Draws
from cotrain.balance.protocol import Combiner, Family
from cotrain.core.errors import ConfigError


def sign_dropped(rows: Tensor, uniform: Tensor, leak: float) -> Tensor:
    """The combined gradient [N] of `rows` [T, N], with `uniform` [N] drawn from [0, 1).

    P = (1 + sum_k g_k / sum_k |g_k|) / 2 is the positive sign purity of each entry; where P > uniform only positive parts pass,
    elsewhere only negative ones; `leak` of what is dropped passes all the same.
    """
    total, size = rows.sum(dim=0), rows.abs().sum(dim=0)
    purity = 0.5 * (1 + total / torch.where(size > 0, size, 1.0))
    positive = purity > uniform
    kept = torch.where(positive, rows.clamp_min(0.0).sum(dim=0), rows.clamp_max(0.0).sum(dim=0))
    return leak * total + (1 - leak) * kept


@final
class GradDrop(Combiner):
    """sum_k (leak + (1 - leak) M_k) g_k, entry by entry, M_k = 1 where g_k has the sign drawn for that entry.

    A positive sign is drawn with probability P = (1 + sum_k g_k / sum_k |g_k|) / 2. Applied to the gradients at the features, as
    in the paper; cheap there, and it cannot be written with weights. `leak` 0 is the paper's choice (one number for all tasks;
    the paper allows one a task). Differences: purity is taken entry by entry; the paper's optional sum over the batch of sign(x)
    g (its "marginalised" form) needs the features' values, which a combiner is not shown. f, the monotone function of P, is the
    identity. Rows that are not finite are left out, counted in `skipped` and said in `notes`.

    Draws come from the generator that is handed in, else from the method's own (`seed`, kept in `state_dict`). Raises
    ConfigError for a leak outside [0, 1].

    Source: Chen et al., "Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout", NeurIPS 2020,
    algorithm 1.

    >>> GradDrop().combine(torch.tensor([[1.0, 2.0], [3.0, 0.5]])).tolist()    # signs agree: the sum
    [4.0, 2.5]
    """

    name: ClassVar[str] = "graddrop"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Chen et al., Just Pick a Sign, NeurIPS 2020, algorithm 1"
    cost: ClassVar[str] = "1 joint step and one pass of each head to the features"
    at: ClassVar[Literal["features", "parameters"]] = "features"

    def __init__(self, *, leak: float = 0.0, seed: int = 0) -> None:
        if not 0 <= leak <= 1:
            raise ConfigError(f"graddrop: leak is between 0 and 1; got {leak}; 0 is the default, 1 gives the sum")
        self._leak = float(leak)
        self._draws = Draws(seed)
        self.skipped = 0
        """How many rows were left out so far because they were not finite."""
        self._notes: list[str] = []

    def combine(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Rows [T, N] -> [N], in the rows' dtype."""
        sound = rows.isfinite().all(dim=1)
        self._notes = []
        if not bool(sound.all()):
            dropped = int((~sound).sum())
            self.skipped += dropped
            self._notes = [f"GradDrop: {dropped} of {len(rows)} gradients not finite, left out of this step"]
            rows = rows[sound]
        source = self._draws.generator if generator is None else generator
        uniform = torch.rand(rows.shape[1], generator=source, device=source.device).to(rows.device)
        return sign_dropped(rows, uniform, self._leak)

    def notes(self) -> list[str]:
        """What did not go as planned at the last call."""
        return list(self._notes)

    def state_dict(self) -> dict[str, Any]:
        """The generator, and the count of rows left out."""
        return {"draws": self._draws.state_dict(), "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self._draws.load_state_dict(state["draws"])
        self.skipped = int(state["skipped"])
