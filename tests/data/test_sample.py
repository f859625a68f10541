"""Batches: every row once an epoch, the order a pure function of seed and epoch, several sources in step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field
from cotrain.data.sample import EncodedData, several


def data(rows: int = 20, source: str = "main") -> EncodedData:
    values = torch.arange(rows * 2.0).reshape(rows, 2)
    lengths = torch.arange(rows) % 3
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    return EncodedData(
        {"x": Field.dense(values), "words": Field(torch.arange(int(offsets[-1])), lengths > 0, offsets)},
        {
            "whole": Field.dense(torch.arange(rows)),
            "holed": Field(torch.arange(rows), torch.arange(rows) % 2 == 0, None, torch.arange(rows) % 3 > 0),
        },
        splits={"train": torch.arange(0, rows - 3), "test": torch.arange(rows - 3, rows)},
        weight=torch.arange(rows).float(),
        source=source,
    )


def test_a_batch_is_the_rows_of_every_tensor() -> None:
    whole = data()
    rows = torch.tensor([4, 0, 7])
    batch = whole.batch(rows)
    batch.check()
    assert batch.row is rows
    assert batch.source == "main"
    for name, one in whole.inputs.items():
        assert torch.equal(batch.inputs[name].values, one.select(rows).values)
        assert torch.equal(batch.inputs[name].present, one.select(rows).present)
    for name, one in whole.targets.items():
        assert torch.equal(batch.targets[name].held(), one.select(rows).held())
    assert batch.weight is not None
    assert batch.weight.tolist() == [4.0, 0.0, 7.0]


@settings(deadline=None, max_examples=50)
@given(st.integers(4, 30), st.integers(1, 12), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_an_epoch_visits_every_row_once_and_can_be_had_again(
    rows: int, size: int, seed: int, epoch: int, shuffle: bool
) -> None:
    whole = data(rows)
    seen = [batch.row for batch in whole.batches("train", size, seed=seed, epoch=epoch, shuffle=shuffle)]
    assert len(seen) == whole.steps("train", size)
    assert torch.cat(seen).sort().values.tolist() == whole.rows("train").tolist()
    again = [batch.row for batch in whole.batches("train", size, seed=seed, epoch=epoch, shuffle=shuffle)]
    assert all(torch.equal(one, other) for one, other in zip(seen, again, strict=True))
    assert all(len(one) == size for one in seen[:-1])


def test_epochs_seeds_and_sources_have_orders_of_their_own() -> None:
    def order(source: str = "main", seed: int = 0, epoch: int = 0) -> list[int]:
        return data(60, source).order("train", seed=seed, epoch=epoch, shuffle=True).tolist()

    assert order() == order()
    assert len({tuple(one) for one in (order(), order(epoch=1), order(seed=1), order("other"))}) == 4


def test_the_last_small_batch_can_be_left_out() -> None:
    assert [len(batch) for batch in data(20).batches("train", 5)] == [5, 5, 5, 2]
    assert [len(batch) for batch in data(20).batches("train", 5, drop_last=True)] == [5, 5, 5]
    assert data(20).steps("train", 5, drop_last=True) == 3


def test_mistakes_are_answered() -> None:
    with pytest.raises(DataError, match="did you mean 'test'"):
        list(data().batches("tset", 4))
    with pytest.raises(ConfigError, match="need a seed"):
        list(data().batches("train", 4, shuffle=True))
    with pytest.raises(ConfigError, match="got 0"):
        list(data().batches("train", 0))


def test_several_sources_step_together_and_short_ones_begin_again() -> None:
    long, short = data(33, "long"), data(10, "short")
    steps = list(several([long, short], "train", (4, 3), seed=0, epoch=2, shuffle=True))
    assert len(steps) == long.steps("train", 4)
    assert [batch.source for batch in steps[0]] == ["long", "short"]
    rows = torch.cat([step[0].row for step in steps])
    assert rows.sort().values.tolist() == long.rows("train").tolist()
    rounds = [torch.cat([steps[k][1].row for k in turn]) for turn in ((0, 1, 2), (3, 4, 5))]
    assert all(one.sort().values.tolist() == short.rows("train").tolist() for one in rounds)
    assert not torch.equal(*rounds)
    again = list(several([long, short], "train", (4, 3), seed=0, epoch=2, shuffle=True))
    assert all(
        torch.equal(a.row, b.row)
        for one, other in zip(steps, again, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    with pytest.raises(ConfigError, match="3 sizes for 2 sources"):
        list(several([long, short], "train", (1, 2, 3)))


def test_the_rounds_of_a_short_source_differ_between_epochs() -> None:
    long, short = data(63, "long"), data(13, "short")
    orders = []
    for epoch in (0, 1, 2):
        steps = list(several([long, short], "train", 5, seed=0, epoch=epoch, shuffle=True))
        rows = torch.cat([step[1].row for step in steps])
        orders += [tuple(rows[start : start + 10].tolist()) for start in range(0, len(rows) - 9, 10)]
    assert len(set(orders)) == len(orders)


def test_an_empty_source_is_refused_and_not_waited_for() -> None:
    empty = EncodedData(
        {"x": Field.dense(torch.zeros(0, 1))}, splits={"train": torch.zeros(0, dtype=torch.int64)}, source="b"
    )
    with pytest.raises(DataError, match="source 'b' has no rows"):
        list(several([data(), empty], "train", 2))
    assert list(empty.batches("train", 2)) == []
