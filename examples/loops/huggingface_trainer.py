"""A Hugging Face `Trainer`: `training_step` makes the balanced backward pass in place of the trainer's own.

python examples/loops/huggingface_trainer.py     (needs: pip install transformers accelerate)
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from cotrain.balance import Engine, UPGrad

_spec = importlib.util.spec_from_file_location("bare", Path(__file__).with_name("bare.py"))
bare: Any = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]
_spec.loader.exec_module(bare)  # type: ignore[union-attr]


class Rows(Dataset[dict[str, Tensor]]):
    """The example's rows, one by one."""

    def __init__(self, count: int) -> None:
        self.x, self.price, self.sold = (torch.cat(column) for column in zip(*bare.batches(count), strict=True))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {"x": self.x[place], "price": self.price[place], "sold": self.sold[place]}


class BalancedTrainer(Trainer):
    """Losses by task from the model, one balanced backward pass, everything else as the trainer does it."""

    def __init__(self, engine: Engine, **options: Any) -> None:
        super().__init__(**options)
        self.engine = engine
        self.history: list[float] = []

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Gradients of one batch; the trainer clips and steps."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            losses: dict[str, Tensor] = model.losses(**inputs)  # type: ignore[operator]
        steps = self.args.gradient_accumulation_steps
        self.engine.backward({task: loss / steps for task, loss in losses.items()})
        total = torch.stack(list(losses.values())).sum().detach()
        self.history.append(float(total))
        return total / steps


def main(steps: int = 100) -> list[float]:
    """Train, and give the sum of the losses of each step."""
    torch.manual_seed(0)
    net = bare.Net()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=64,
            num_train_epochs=1,
            learning_rate=1e-2,
            lr_scheduler_type="constant",
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            logging_strategy="no",
        )
        trainer = BalancedTrainer(Engine(net.trunk, UPGrad()), model=net, args=arguments, train_dataset=Rows(steps))
        trainer.train()
    return trainer.history


if __name__ == "__main__":
    history = main()
    print(history[0], "->", history[-1])
