"""Data in every form a user may bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from cotrain.core.errors import DataError
from cotrain.model.compose import Model
from cotrain.training.ahead import ahead
from cotrain.training.feed import Feed, target_field
from cotrain.training.loop import Trainer

Fresh = Callable[..., Model]
Rows = Callable[..., Any]
TASKS = ("yes", "number")


def first_column(steps: Any) -> list[float]:
    return [value for step in steps for batch in step for value in batch.inputs["x"].values[:, 0].tolist()]


def parts(rows: tuple[Tensor, dict[str, Tensor]], size: int) -> list[Any]:
    x, y = rows
    return [
        (x[at : at + size], {name: one[at : at + size] for name, one in y.items()}) for at in range(0, len(x), size)
    ]


def collate(items: list[Any]) -> Any:
    return torch.stack([x for x, _ in items]), {"yes": torch.stack([y for _, y in items])}


def test_pairs_batches_lists_loaders_and_functions_train_alike(fresh: Fresh, rows: Rows) -> None:
    pairs = parts(rows(64), 16)
    steps = list(Feed(pairs, tasks=TASKS).epoch(0))
    forms: list[Any] = [
        pairs,
        [step[0] for step in steps],
        steps,
        DataLoader(steps, batch_size=None),  # type: ignore[arg-type]
        lambda epoch: iter(pairs),
        lambda epoch: (step for step in steps),
    ]
    found = []
    for form in forms:
        model = fresh()
        Trainer(model, train={"epochs": 2}).fit(form)
        found.append(torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]))
    assert all(torch.equal(one, found[0]) for one in found[1:])


def test_whole_rows_are_cut_into_shuffled_batches_that_hold_each_row_once(rows: Rows) -> None:
    feed = Feed(rows(100), tasks=TASKS, seed=1, size=32)
    first, again, second = (list(feed.epoch(epoch)) for epoch in (0, 0, 1))
    assert [len(step[0]) for step in first] == [32, 32, 32, 4]
    assert sorted(first_column(first)) == sorted(rows(100)[0][:, 0].tolist())
    assert first_column(first) == first_column(again) != first_column(second)


def test_a_shuffling_loader_repeats_itself_and_leaves_the_global_generator_alone(rows: Rows) -> None:
    x, y = rows(40)
    loader: Any = DataLoader(TensorDataset(x, y["yes"]), batch_size=8, shuffle=True, collate_fn=collate)
    feed = Feed(loader, tasks=TASKS, seed=3)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    whole = first_column(feed.epoch(0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert first_column(feed.epoch(0)) == whole
    assert first_column(feed.epoch(0, skip=2)) == whole[16:]
    assert first_column(feed.epoch(1)) != whole


def test_an_iterator_serves_one_epoch_and_is_refused_for_more(fresh: Fresh, rows: Rows) -> None:
    def stream() -> Iterator[Any]:
        yield from parts(rows(64), 16)

    with pytest.raises(
        DataError, match=r"3 epochs need data that can be gone through again, got a generator.*function epoch"
    ):
        Trainer(fresh(), train={"epochs": 3}).fit(stream())
    history = Trainer(fresh(), train={"epochs": 1, "schedule": "constant"}).fit(stream())
    assert history.rows == 64
    assert "once only" in history.notes[0]


def test_a_source_that_is_empty_the_second_time_is_an_error(fresh: Fresh, rows: Rows) -> None:
    class Once:
        def __init__(self) -> None:
            self.left = [parts(rows(32), 16), parts(rows(32), 16)]

        def __iter__(self) -> Iterator[Any]:
            return iter(self.left.pop() if self.left else [])

    with pytest.raises(DataError, match="epoch 2 brought no batch"):
        Trainer(fresh(), train={"epochs": 3}).fit(Once())


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            (torch.zeros(4, 3), torch.zeros(4)),
            r"pair \(x, \{task: y\}\), got tuple of \(Tensor, Tensor\).*named by task",
        ),
        ((torch.zeros(4, 3), {"yess": torch.zeros(4)}), "did you mean 'yes'"),
        ((torch.zeros(4, 3), {"yes": torch.zeros(5)}), "'yes' has 5 rows"),
        (torch.zeros(4, 3), "got Tensor"),
    ],
)
def test_steps_of_another_shape_are_refused_with_what_came(fresh: Fresh, item: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Trainer(fresh(), train={"epochs": 1}).fit([item])


def test_data_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="got int"):
        Feed(3, tasks=TASKS)  # type: ignore[arg-type]


def test_only_nan_means_missing() -> None:
    labels = target_field(torch.tensor([-1, 0, 1]))
    assert labels.present.all()
    assert labels.values.tolist() == [-1, 0, 1]
    cells = target_field(torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")], [-1.0, 2.0]]))
    assert cells.present.tolist() == [True, False, True]
    assert cells.held().tolist() == [[True, False], [False, False], [True, True]]
    assert cells.values.isfinite().all()


def test_several_inputs_come_as_a_dict(rows: Rows) -> None:
    x, y = rows(8)
    (step,) = Feed([({"a": x, "b": x * 2}, y)], tasks=TASKS).epoch(0)
    assert step[0].inputs["b"].values.tolist() == (x * 2).tolist()


def test_batches_prepared_ahead_come_in_order_and_errors_come_in_place(rows: Rows) -> None:
    def broken() -> Iterator[int]:
        yield from (1, 2)
        raise DataError("third")

    assert list(ahead(iter(range(50)), 4)) == list(range(50))
    items = ahead(broken(), 8)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(DataError, match="third"):
        next(items)
    assert first_column(Feed(rows(64), tasks=TASKS, size=16, workers=3).epoch(2, skip=1)) == first_column(
        Feed(rows(64), tasks=TASKS, size=16).epoch(2, skip=1)
    )
