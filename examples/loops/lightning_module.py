"""A Lightning module: manual optimisation, and the engine where `self.manual_backward` stood.

python examples/loops/lightning_module.py        (needs: pip install lightning)
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cotrain.balance import CAGrad, Engine

_spec = importlib.util.spec_from_file_location("bare", Path(__file__).with_name("bare.py"))
bare: Any = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]
_spec.loader.exec_module(bare)  # type: ignore[union-attr]


class Balanced(lightning.LightningModule):
    """Two tasks, one trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net = bare.Net()
        self.engine = Engine(self.net.trunk, CAGrad())
        self.history: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        """One balanced step."""
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        losses = self.net.losses(*batch)
        report = self.engine.backward(losses)
        optimizer.step()
        self.log_dict({f"weight/{task}": weight for task, weight in report.weights.items()})
        self.history.append(sum(loss.item() for loss in losses.values()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Any optimiser."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The method's state belongs to the checkpoint."""
        checkpoint["engine"] = self.engine.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """And back."""
        self.engine.load_state_dict(checkpoint["engine"])


def main(steps: int = 100) -> list[float]:
    """Train, and give the sum of the losses of each step."""
    torch.manual_seed(0)
    module = Balanced()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", devices=1, **quiet)
    trainer.fit(module, DataLoader(bare.batches(steps), batch_size=None))
    return module.history


if __name__ == "__main__":
    history = main()
    print(history[0], "->", history[-1])
