"""One training from ready rows: the network of a config, for all its tasks or for some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cotrain.core.fields import Batch
from cotrain.core.randomness import seed_layers, untouched
from cotrain.core.spec import InputSpec, Task
from cotrain.data.sample import EncodedData
from cotrain.model.compose import Model
from cotrain.recipe.build import build_engine, build_model
from cotrain.recipe.config import Config
from cotrain.training.cost import cost
from cotrain.training.evaluate import Gathered, gather
from cotrain.training.feed import Batches
from cotrain.training.history import History
from cotrain.training.loop import Trainer
from cotrain.training.watch import Watcher

SCORING_BATCH = 4096
"""Rows scored at once; it changes nothing but speed and memory."""


@dataclass(frozen=True)
class Trained:
    """A trained network, what happened on the way, and what it costs."""

    model: Model
    history: History
    cost: Mapping[str, float | None]


def train_network(
    config: Config,
    data: EncodedData,
    specs: InputSpec,
    tasks: Sequence[Task],
    *,
    seed: int,
    folder: Path | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> Trained:
    """Train the config's network for `tasks` on the rows of the training split; validation rows choose when to stop.

    The order of rows, the initial values and dropout depend on `seed` alone.
    """
    data = for_tasks(data, tasks)
    with untouched():
        seed_layers(seed)
        example = data.batch(data.rows("train")[:2])
        model = build_model(config, list(tasks)).build({data.source: specs}, example.inputs)
    trainer = Trainer(
        model,
        engine=build_engine(model, config.balance, seed),
        train=config.train,
        folder=folder,
        seed=seed,
        watcher=watcher,
    )
    train = steps_of(data, "train", config.train.batch_size, seed)
    history = trainer.fit(train, scoring(data, "valid"), resume=resume)
    example = data.batch(data.rows("train")[:SCORING_BATCH])
    return Trained(model, history, cost(model, example) | _cost_of(history))


def _cost_of(history: History) -> dict[str, float | None]:
    return {
        "train_seconds": history.seconds,
        "rows_per_second": history.rows_per_second,
        "peak_memory_mib": history.peak_memory_mib,
    }


def steps_of(data: EncodedData, split: str, size: int, seed: int) -> Batches:
    """The shuffled batches of every epoch, as a function of the epoch."""
    return lambda epoch: data.batches(split, size, seed=seed, epoch=epoch, shuffle=True)


def scoring(data: EncodedData, split: str) -> Batches | None:
    """The batches of a split in order, or None if it is empty."""
    if split not in data.splits or not len(data.rows(split)):
        return None
    return lambda epoch: data.batches(split, SCORING_BATCH)


def for_tasks(data: EncodedData, tasks: Sequence[Task]) -> EncodedData:
    """The same rows with the targets of these tasks only; rows with a label for none of them leave the splits."""
    names = [task.name for task in tasks]
    if set(names) == set(data.targets):
        return data
    targets = {name: data.targets[name] for name in names}
    present = torch.stack([field.present for field in targets.values()]).any(0)
    splits = {split: rows[present[rows]] for split, rows in data.splits.items()}
    return EncodedData(data.inputs, targets, splits=splits, weight=data.weight, source=data.source)


def gathered(model: Model, data: EncodedData, split: str) -> dict[str, Gathered]:
    """{task: its outputs and targets on a split}; empty if the split is."""
    batches = scoring(data, split)
    return {} if batches is None else gather(model, batches)


def whole(data: EncodedData, split: str) -> Batch | None:
    """A split as one batch, or None if it is empty."""
    if split not in data.splits or not len(data.rows(split)):
        return None
    return data.batch(data.rows(split))
