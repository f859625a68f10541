"""What a network costs: parameters, FLOPs a row, seconds, rows a second, peak memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from cotrain.core.fields import Batch
from cotrain.core.randomness import untouched
from cotrain.model.compose import Model


def cost(model: Model, batch: Batch | Sequence[Batch]) -> dict[str, float]:
    """{"parameters", "flops_per_row"}: all parameters, and FLOPs of one forward pass of every task, a row, in evaluation mode.

    FLOPs are those of matrix products and convolutions (a multiplication and an addition are two), as PyTorch counts them; norms,
    activations and look-ups are not in it. With several sources: the sum over batches by the sum of rows.
    """
    batches = [batch] if isinstance(batch, Batch) else list(batch)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), untouched(), FlopCounterMode(display=False) as counter:
            for one in batches:
                model.predict(one.to(device))
    finally:
        model.train(training)
    rows = sum(len(one) for one in batches)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops_per_row": counter.get_total_flops() / max(rows, 1),
    }


class PeakMemory:
    """The most memory held since this was made, in MiB: on a GPU what torch allocated there, else the resident set of the process.

    The process's figure includes the interpreter, the libraries and the data. Linux can start the count anew (`fresh` is True);
    elsewhere it runs since the process began.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.fresh = device.type == "cuda"
        if self.fresh:
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self.fresh = _high_water() is not None
        except OSError:
            self.fresh = False

    def mib(self) -> float:
        """The peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        high = _high_water()
        if high is not None:
            return high
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 2**20 if sys.platform == "darwin" else most / 2**10


def _high_water() -> float | None:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    except OSError:
        return None
    return None
