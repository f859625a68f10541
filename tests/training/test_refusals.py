"""What cannot be trained is refused in plain words instead of being trained into nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch

from cotrain.core.errors import ConfigError, DataError, TrainingError
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.regression import Regression
from cotrain.training.checkpoint import write_state
from cotrain.training.loop import Trainer

X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("task", "labels", "says"),
    [
        (Binary("y"), torch.full((8,), 3.0), "labels between 0 and 1 are expected, got 3 to 3"),
        (Multiclass("y", classes=3), torch.full((8,), 3), "whole numbers from 0 to 2 are expected"),
        (Multiclass("y", classes=3), torch.full((8,), 0.5), "whole numbers from 0 to 2 are expected"),
    ],
)
def test_labels_that_are_none_of_the_task_are_refused(
    task: Binary | Multiclass, labels: torch.Tensor, says: str
) -> None:
    model = Model(encoder=MLP(widths=[4]), tasks=[task])
    with pytest.raises(DataError, match=says):
        Trainer(model, train={"epochs": 1, "loss_scale": "none"}).fit([(X, {"y": labels})])


def test_a_training_without_one_finite_step_is_no_training() -> None:
    model = Model(encoder=MLP(widths=[4]), tasks=[Regression("y")])
    with pytest.raises(TrainingError, match="none of the 2 steps was finite, the last because input 'x'"):
        Trainer(model, train={"epochs": 2}).fit([(X * float("nan"), {"y": X[:, 0]})])


def test_words_where_a_model_wants_objects_are_refused() -> None:
    with pytest.raises(ConfigError, match="sharing= of a Model is an object"):
        Model(encoder=MLP(), sharing="mmoe", tasks=[Regression("y")])  # type: ignore[arg-type]


def test_weights_are_as_readable_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_state(tmp_path / "weights", {"a": torch.zeros(2)})
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "weights")}
    assert len(modes) == 1
