"""Tasks that stand still: everything their answers depend on is frozen, so that no step and no validation row changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cotrain.core.fields import Batch
from cotrain.core.randomness import untouched
from cotrain.model.compose import Model
from cotrain.model.trunk import evaluating


def still_tasks(model: Model, batches: Sequence[Batch]) -> frozenset[str]:
    """Tasks whose outputs no trained parameter reaches, found by a forward pass of two rows of each batch."""
    device = next(model.parameters()).device
    moving: set[str] = set()
    with untouched(), evaluating(model), torch.enable_grad():
        for batch in batches:
            few = batch.select(torch.arange(min(2, len(batch)))).to(device)
            moving |= {task for task, output in model.predict(few).items() if output.requires_grad}
    return frozenset(model.tasks) - moving


def trained(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The losses that a trained parameter reaches; the others have nothing to say to a step."""
    return {task: loss for task, loss in losses.items() if loss.requires_grad}
