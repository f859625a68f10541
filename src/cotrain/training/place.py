"""Where a network is trained and how precisely: Fabric chooses the device, starts processes and gives the precision's context."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from cotrain.balance.processes import sum_over_processes
from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.training.settings import TrainSettings

if TYPE_CHECKING:  # Fabric takes seconds to import and is needed only where something is trained
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import Precision

Value = TypeVar("Value")


class Place:
    """A device, a precision, and how many processes there are.

    scaler: the factor of 16-bit mixed precision, or None. Raises ConfigError if the device is not there or cannot hold the precision.
    """

    def __init__(self, settings: TrainSettings, fabric: Fabric | None = None) -> None:
        from lightning_fabric import Fabric

        device = device_of(settings)
        self.scaler = torch.amp.GradScaler(device) if settings.precision == "16" else None
        self.double = settings.precision == "64"
        self.fabric = fabric or Fabric(accelerator=device, devices=1, plugins=[_plugin(settings, device, self.scaler)])
        if fabric is None:
            self.fabric.launch()
        self.device = self.fabric.device
        self.processes, self.rank = self.fabric.world_size, self.fabric.global_rank

    def take(self, model: nn.Module) -> None:
        """Move the network here, in place."""
        model.to(self.device, torch.float64 if self.double else None)

    def ready(self, batch: Batch) -> Batch:
        """The batch on this device, in this precision; untouched where it already is."""
        if next(iter(batch.inputs.values())).present.device != self.device:
            batch = batch.to(self.device, non_blocking=True)
        return _doubled(batch) if self.double else batch

    def autocast(self) -> AbstractContextManager[None]:
        """The context of the forward pass."""
        return self.fabric.autocast()

    def scaled(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses times the factor of 16-bit precision; unchanged otherwise."""
        if self.scaler is None:
            return losses
        return {task: self.scaler.scale(loss) for task, loss in losses.items()}

    def summed(self, counts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Label counts over all processes."""
        if self.processes == 1:
            return counts
        total = sum_over_processes(torch.stack(list(counts.values())).to(self.device)).cpu()
        return dict(zip(counts, total.unbind(), strict=True))

    def first(self, value: Value) -> Value:
        """The first process's value, on all: for decisions that all must take alike."""
        return value if self.processes == 1 else self.fabric.broadcast(value)

    def wait(self) -> None:
        """Until every process has come here."""
        if self.processes > 1:
            self.fabric.barrier()

    def alike_(self, model: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.processes > 1:
            for tensor in chain(model.parameters(), model.buffers()):
                torch.distributed.broadcast(tensor.data, src=0)

    def gathered(self, state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """The tensors of every process, by rank; shapes must agree."""
        if self.processes == 1:
            return [state]
        held: list[dict[str, Tensor]] = [{} for _ in range(self.processes)]
        for name, tensor in state.items():
            parts = [torch.empty_like(tensor, device=self.device) for _ in range(self.processes)]
            torch.distributed.all_gather(parts, tensor.to(self.device))
            for one, part in zip(held, parts, strict=True):
                one[name] = part.cpu()
        return held

    @property
    def loss_scale(self) -> float:
        """The factor `scaled` puts on the losses."""
        return 1.0 if self.scaler is None else float(self.scaler.get_scale())


def device_of(settings: TrainSettings) -> str:
    """The device, "cpu" or "cuda", that these settings train on. Raises ConfigError if it is not there or cannot hold the precision."""
    device: str = settings.device
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device is cuda, but torch finds no GPU here; use device: auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if settings.precision == "16" and device == "cpu":
        raise ConfigError("train.precision 16 needs a GPU, the device is cpu; use precision: bf16 or 32")
    return device


def _plugin(settings: TrainSettings, device: str, scaler: torch.amp.GradScaler | None) -> Precision:
    from lightning_fabric.plugins import DoublePrecision, MixedPrecision, Precision

    if settings.precision == "64":
        return DoublePrecision()
    if settings.precision == "bf16":
        return MixedPrecision("bf16-mixed", device)
    if settings.precision == "16":
        return MixedPrecision("16-mixed", device, scaler)
    return Precision()


def _doubled(batch: Batch) -> Batch:
    def double(field: Field) -> Field:
        return replace(field, values=field.values.double()) if field.values.is_floating_point() else field

    return replace(
        batch,
        inputs={name: double(one) for name, one in batch.inputs.items()},
        targets={name: double(one) for name, one in batch.targets.items()},
        weight=None if batch.weight is None else batch.weight.double(),
    )
