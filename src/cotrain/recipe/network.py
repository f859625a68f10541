"""One training from ready rows: the network of a config, for all its tasks or for some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cotrain.core.fields import Batch
from cotrain.core.randomness import seed_layers, untouched
from cotrain.core.spec import InputSpec, Task
from cotrain.data.drawn import RowData
from cotrain.data.sample import EncodedData, several
from cotrain.data.sources import SeveralData, sources_of
from cotrain.model.compose import Model
from cotrain.recipe.augmenting import build_augmentation
from cotrain.recipe.build import build_engine, build_model
from cotrain.recipe.config import Config
from cotrain.tasks.conditional import Conditional
from cotrain.training.baseline import Baseline, constants
from cotrain.training.cost import cost
from cotrain.training.diagnose import Look
from cotrain.training.evaluate import ROWS_AT_ONCE, Gathered, gather, rows_at_once
from cotrain.training.feed import Batches
from cotrain.training.history import History
from cotrain.training.loop import Trainer
from cotrain.training.watch import Watcher


@dataclass(frozen=True)
class Trained:
    """A trained network, what happened on the way, and what it costs. seed: of its training, where the config's is of the split as well."""

    model: Model
    history: History
    cost: Mapping[str, float | None]
    seed: int


def train_network(
    config: Config,
    data: RowData,
    specs: Mapping[str, InputSpec],
    tasks: Sequence[Task],
    *,
    seed: int,
    folder: Path | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
    look: Look | None = None,
) -> Trained:
    """Train the config's network for `tasks` on the rows of the training split; validation rows choose when to stop.

    specs: {source: what a network may know of its inputs}, of all sources of `data` at least.
    The order of rows, their augmentation, the initial values and dropout depend on `seed` alone. look: where gradients are compared, and how
    often.
    """
    data, tasks = standing(data, tasks)
    own = {one.source: specs[one.source] for one in sources_of(data)}
    model = untrained(config, data, own, tasks, seed=seed)
    trainer = Trainer(
        model,
        engine=build_engine(model, config.balance, seed),
        train=config.train,
        folder=folder,
        seed=seed,
        watcher=watcher,
        look=look,
        scored=sum(data.counts.get(split, 0) for split in ("valid", "test")),
    )
    size = config.train.batch_size if isinstance(config.train.batch_size, int) else ROWS_AT_ONCE  # until it is found
    train = TrainRows(data, size, seed)
    valid = scoring(data.watched("valid"), "valid") if data.counts.get("valid") else None
    fields = {name: spec for one in own.values() for name, spec in one.items()}
    augmentation = build_augmentation(config, fields, tasks)
    pictures = any(spec.kind == "image" for spec in fields.values())  # which need not be looked at for them
    at_once = augmentation is not None or pictures or len(own) > 1  # of short sources an epoch shows rows again
    known = known_constants(model.tasks, data, size, at_once=at_once)
    feed = train if augmentation is None else augmentation.over(train, seed=seed)
    history = trainer.fit(feed, valid, resume=resume, baseline=known)
    return Trained(model, history, cost(model, shown(data)) | _cost_of(history), seed)


def untrained(
    config: Config, data: RowData, specs: Mapping[str, InputSpec], tasks: Sequence[Task], *, seed: int
) -> Model:
    """The config's network with its initial values. specs: {source: ...} of the sources of `data`, and of no others."""
    with untouched():
        seed_layers(seed)
        example = sources_of(data)[0].first("train", 2)
        return build_model(config, list(tasks)).build(specs, example.inputs)


def shown(data: RowData) -> list[Batch]:
    """Training rows to measure costs on, a batch of every source."""
    return [one.first("train", rows_at_once(one.first("train", 2), longest(one))) for one in sources_of(data)]


def standing(data: RowData, tasks: Sequence[Task]) -> tuple[RowData, list[Task]]:
    """The rows and the tasks of a network: a conditional task whose parent is not among them stands by itself.

    It learns from the rows where its parent holds; in memory the other rows leave the splits, so that batches are full of what it learns from
    (of a stream they stay, and count for nothing).
    """
    names = {task.name for task in tasks}
    own = [task.by_itself() if isinstance(task, Conditional) and task.given not in names else task for task in tasks]
    if isinstance(data, SeveralData):
        data = SeveralData({source: _narrowed(one, own) for source, one in data.parts.items()})
    return _narrowed(data, own).for_tasks([task.name for task in own]), list(own)


def _narrowed(data: RowData, tasks: Sequence[Task]) -> RowData:
    """Rows in memory with the labels that conditional tasks by themselves learn from."""
    if isinstance(data, EncodedData):
        for task in tasks:
            if isinstance(task, Conditional) and task.alone and task.name in data.targets:
                target = data.targets[task.name]
                narrowed = {**data.targets, task.name: replace(target, present=task.learns_from(target))}
                data = EncodedData(data.inputs, narrowed, splits=data.splits, weight=data.weight, source=data.source)
    return data


def _cost_of(history: History) -> dict[str, float | None]:
    return {
        "train_seconds": history.seconds,
        "rows_per_second": history.rows_per_second,
        "peak_memory_mib": history.peak_memory_mib,
    }


def known_constants(tasks: Mapping[str, Task], data: RowData, size: int, *, at_once: bool = False) -> Baseline | None:
    """The best constants on the training rows as they are, or on those that stand for the rows of a stream.

    None in memory, unless asked for `at_once`: there all batches are gone through once.
    """
    if not data.streamed and not at_once:
        return None
    return replace(constants(tasks, [samples(data, "train")]), steps=data.steps("train", size))


def samples(data: RowData, split: str) -> list[Batch]:
    """Rows that stand for a split, a batch of every source."""
    return [one.sample(split) for one in sources_of(data) if one.counts.get(split)]


class TrainRows:
    """The shuffled batches of every epoch, as a function of the epoch, in any size; of several sources a list each step, of that size each."""

    def __init__(self, data: RowData, size: int, seed: int) -> None:
        self.data, self.size, self.seed = data, size, seed
        self.rows = max(one.counts["train"] for one in sources_of(data))

    def __call__(self, epoch: int) -> Iterator[Batch] | Iterator[list[Batch]]:
        parts = sources_of(self.data)
        if len(parts) > 1:
            return several(parts, "train", self.size, seed=self.seed, epoch=epoch, shuffle=True)
        return self.data.batches("train", self.size, seed=self.seed, epoch=epoch, shuffle=True)

    def __len__(self) -> int:
        return self.data.steps("train", self.size)

    def of_size(self, size: int) -> TrainRows:
        """The same rows in batches of another size."""
        return TrainRows(self.data, size, self.seed)


def scoring(data: RowData, split: str) -> Batches | None:
    """The batches of a split in order, or None if it is empty."""
    if not data.counts.get(split):
        return None
    parts = [
        (one, rows_at_once(one.first(split, 1), longest(one))) for one in sources_of(data) if one.counts.get(split)
    ]
    return lambda epoch: (batch for one, size in parts for batch in one.batches(split, size))


def gathered(model: Model, data: RowData, split: str) -> dict[str, Gathered]:
    """{task: its outputs and targets on a split}; empty if the split is."""
    batches = scoring(data, split)
    return {} if batches is None else gather(model, batches)


def whole(data: RowData, split: str) -> Batch | None:
    """A split as one batch, or None if it is empty."""
    return data.whole(split) if data.counts.get(split) else None


def longest(data: RowData) -> int:
    """The most words that a row of texts has; 1 where there are none."""
    return data.longest if isinstance(data, EncodedData) else 1
