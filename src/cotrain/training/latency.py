"""How long one answer takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

from cotrain.core.fields import Batch
from cotrain.core.randomness import untouched
from cotrain.model.compose import Model

PASSES = 15


def latency_ms(model: Model, rows: Batch | Sequence[Batch], *, passes: int = PASSES) -> float:
    """Median milliseconds of one forward pass of every task over these rows, in evaluation mode, after two that are not counted."""
    batches = [rows] if isinstance(rows, Batch) else list(rows)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    taken = []
    try:
        with torch.no_grad(), untouched():
            ready = [batch.to(device) for batch in batches]
            for place in range(passes + 2):
                began = time.perf_counter()
                for batch in ready:
                    model.predict(batch)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if place > 1:
                    taken.append(time.perf_counter() - began)
    finally:
        model.train(training)
    return 1000 * statistics.median(taken)
