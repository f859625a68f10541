"""`augment:` of a config: training rows are changed, others are not, and a resumed training meets the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.data.augment import Augmentation, AugmentSettings
from cotrain.data.picture_moves import AffineSettings
from cotrain.data.sample import EncodedData
from cotrain.recipe.augmenting import build_augmentation
from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.network import TrainRows, train_network
from cotrain.recipe.problems import ConfigProblems
from cotrain.tasks import Box, Multiclass
from cotrain.training.feed import Feed

SPECS = {"photo": FieldSpec("image", ("photo",), shape=(1, 16, 16), mean=(0.1,), std=(0.3,))}
TASKS = [Multiclass("what", classes=2), Box("where", columns=["a", "b", "c", "d"])]
AUGMENT = {"photo": {"flip": "horizontal", "crop": 2, "affine": {"rotate": 10}, "erase": 0.1}}


def config(**more: Any) -> Config:
    train = {"epochs": 2, "batch_size": 16, "schedule": "constant", "early_stopping": None, "keep": "last"}
    tree = {
        "tasks": {"what": "multiclass", "where": {"kind": "box", "columns": ["a", "b", "c", "d"]}},
        "encoder": {"name": "convnet", "widths": [4, 8]}, "train": train, "augment": AUGMENT, "inputs": ["photo"],
    }  # fmt: skip
    return config_from_dict({**tree, **more}, files=False)


def rows(count: int = 60) -> EncodedData:
    """A bright bar or a bright block somewhere in the dark; the first rows train."""
    draws = torch.Generator().manual_seed(0)
    values = torch.zeros(count, 1, 16, 16, dtype=torch.uint8)
    what, corners = torch.randint(0, 2, (count,), generator=draws), torch.zeros(count, 4)
    for row in range(count):
        left, top = torch.randint(0, 8, (2,), generator=draws).tolist()
        high = 3 + 4 * int(what[row])
        values[row, 0, top : top + high, left : left + 7] = 255
        corners[row] = torch.tensor([left, top, left + 7, top + high]) / 16
    splits = {"train": torch.arange(40), "valid": torch.arange(40, 50), "test": torch.arange(50, count)}
    return EncodedData(
        {"photo": Field.dense(values)}, {"what": Field.dense(what), "where": Field.dense(corners)}, splits=splits
    )


def test_only_training_rows_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = Augmentation.__call__

    def spied(self: Augmentation, batch: Any, draws: torch.Generator) -> Any:
        seen.extend(batch.row.tolist())
        return whole(self, batch, draws)

    monkeypatch.setattr(Augmentation, "__call__", spied)
    done = train_network(config(), rows(), {"main": SPECS}, TASKS, seed=0)
    assert sorted(seen) == sorted([*range(40)] * 2)
    assert len(done.history.records) == 2


def test_constants_are_those_of_the_rows_as_they_are() -> None:
    still = train_network(config(augment=None), rows(), {"main": SPECS}, TASKS, seed=0)
    changed = train_network(config(), rows(), {"main": SPECS}, TASKS, seed=0)
    assert changed.model.scales == still.model.scales
    assert changed.history.records[0]["losses"] != still.history.records[0]["losses"]


def test_a_resumed_training_meets_the_same_rows(tmp_path: Path) -> None:
    def trained(epochs: int, folder: Path | None, resume: bool = False) -> dict[str, torch.Tensor]:
        train = {"epochs": epochs, "batch_size": 16, "schedule": "constant", "early_stopping": None, "keep": "last"}
        made = train_network(config(train=train), rows(), {"main": SPECS}, TASKS, seed=3, folder=folder, resume=resume)
        return made.model.state_dict()

    trained(1, tmp_path)
    pieces, whole = trained(3, tmp_path, resume=True), trained(3, None)
    assert all(torch.equal(pieces[name], one) for name, one in whole.items() if isinstance(one, torch.Tensor))


def test_steps_skipped_within_an_epoch_are_the_same_rows_later() -> None:
    augmentation = build_augmentation(config(), SPECS, TASKS)
    feed = Feed(augmentation.over(TrainRows(rows(), 16, 0), seed=0), tasks=["what", "where"])
    whole, rest = list(feed.epoch(1)), list(feed.epoch(1, skip=2))
    assert len(feed) == len(whole) == 3
    assert torch.equal(whole[2][0].inputs["photo"].values, rest[0][0].inputs["photo"].values)
    assert torch.equal(whole[2][0].targets["where"].values, rest[0][0].targets["where"].values)
    assert feed.rows == 40
    feed.resize(20)
    assert [len(one[0]) for one in feed.epoch(0)] == [20, 20]


def test_an_input_of_the_config_stands_for_its_columns() -> None:
    named = config(inputs={"picture": {"columns": ["photo"]}}, augment={"picture": {"crop": 1}})
    assert build_augmentation(named, SPECS, TASKS).settings == {"photo": AugmentSettings(crop=1)}
    twice = config(inputs={"picture": {"columns": ["photo"]}}, augment={"picture": {"crop": 1}, "photo": {"crop": 1}})
    with pytest.raises(ConfigError, match=r"augment\.photo: 'photo' is augmented by another entry"):
        build_augmentation(twice, SPECS, TASKS)
    assert build_augmentation(config(augment={}), SPECS, TASKS) is None


def test_the_section_is_read_and_written_and_its_problems_have_places() -> None:
    one = config()
    assert one.augment["photo"].affine == AffineSettings(rotate=10)
    again = config_from_dict(one.as_dict(), files=False)
    assert again.augment == one.augment
    with pytest.raises(ConfigProblems) as found:
        config(augment={"photo": {"flip": "horizontaly", "crops": 2, "affine": {"rotate": 400}, "erase": 2}})
    said = {problem.path: problem.message for problem in found.value.problems}
    assert "did you mean 'horizontal'" in said["augment.photo.flip"]
    assert "did you mean 'crop'" in said["augment.photo.crops"]
    assert "from 0 to 180, got 400" in said["augment.photo.affine.rotate"]
    assert "from 0 to 1, got 2" in said["augment.photo.erase"]
