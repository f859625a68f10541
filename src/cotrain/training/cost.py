"""What a network costs: parameters, FLOPs a row, seconds, rows a second, peak memory."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from cotrain.core.fields import Batch
from cotrain.core.randomness import untouched
from cotrain.model.compose import Model


def cost(model: Model, batch: Batch | Sequence[Batch]) -> dict[str, float]:
    """{"parameters", "flops_per_row"}: all parameters, and FLOPs of one forward pass of every task, a row, in evaluation mode.

    FLOPs are those of matrix products, convolutions and attention (a multiplication and an addition are two), as PyTorch counts them;
    norms, activations and look-ups are not in it. With several sources: the sum over batches by the sum of rows.
    """
    batches = [batch] if isinstance(batch, Batch) else list(batch)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), untouched(), counted() as counter:
            for one in batches:
                model.predict(one.to(device))
    finally:
        model.train(training)
    rows = sum(len(one) for one in batches)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops_per_row": counter.get_total_flops() / max(rows, 1),
    }


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    """PyTorch's counter, which also sees what it leaves out by itself: attention fused for a CPU, and layers of `nn.Transformer` that are
    one operation in evaluation mode.
    """
    quick = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False, custom_mapping=ON_CPU) as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(quick)


def attention_flops(
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: object = None,
    scale: float | None = None,
    out_shape: object = None,
) -> int:
    """Of q k^T and of its product with v, all places of a mask counted: shapes [B, H, S, D], [B, H, L, D], [B, H, L, V].

    The other arguments are those of PyTorch's operation, and change nothing here.

    >>> attention_flops((1, 1, 2, 3), (1, 1, 4, 3), (1, 1, 4, 5)) == 2 * 2 * 4 * 3 + 2 * 2 * 4 * 5
    True
    """
    *batch, places, width = query
    return 2 * math.prod(batch) * places * key[-2] * (width + value[-1])


ON_CPU = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}


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
