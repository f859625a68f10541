"""Threads: one for small steps, as many as asked for otherwise, and the process is left as it was."""

from __future__ import annotations

import pytest
import torch

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.regression import Regression
from cotrain.training.loop import Trainer
from cotrain.training.threads import threads_put_back, worth


def made(width: int, rows: int) -> tuple[Model, list[Batch]]:
    model = Model(encoder=MLP(widths=[width, width]), tasks=[Regression("y")])
    batch = Batch({"x": Field.dense(torch.zeros(rows, width))}, {"y": Field.dense(torch.zeros(rows))})
    return model.meet(batch), [batch]


def test_small_steps_are_worth_one_thread_and_large_ones_all() -> None:
    with threads_put_back():
        torch.set_num_threads(2)
        assert worth(*made(16, 32), "auto") == 1
        assert worth(*made(512, 512), "auto") == 2
        assert worth(*made(16, 32), None) == 2
        assert worth(*made(512, 512), 3) == 3


def test_the_process_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    block = threads_put_back()
    block.__enter__()
    torch.set_num_threads(before + 1)
    assert not block.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("precision", ["32", "64"])
def test_training_uses_what_was_chosen(precision: str) -> None:
    seen: list[int] = []

    class Looks(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append(torch.get_num_threads())
            return super().forward(x)

    x = torch.randn(32, 3)
    model = Model(trunk=Looks(3, 4), tasks=[Regression("y")])
    with threads_put_back():
        torch.set_num_threads(2)
        Trainer(model, train={"epochs": 1, "threads": 1, "precision": precision}).fit([(x, {"y": x[:, 0]})])
        assert torch.get_num_threads() == 2
    assert seen[-1] == 1
    with pytest.raises(ConfigError, match="threads"):
        Trainer(model, train={"threads": 0})
