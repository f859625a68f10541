"""Batches of texts of near length: every row once, the same for the same seed and epoch, little filler."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cotrain.core.fields import Field
from cotrain.data.lengths import CHUNKS, POOL, by_length, lengths_of
from cotrain.data.sample import EncodedData
from cotrain.training.evaluate import rows_at_once


def texts(lengths: torch.Tensor) -> Field:
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return Field(torch.arange(int(offsets[-1])), torch.ones(len(lengths), dtype=torch.bool), offsets)


def data(rows: int = 8000) -> EncodedData:
    lengths = torch.randint(1, 100, (rows,), generator=torch.Generator().manual_seed(0))
    return EncodedData({"text": texts(lengths)}, splits={"train": torch.arange(rows)})


@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 5))
def test_every_row_comes_once(rows: int, size: int, seed: int) -> None:
    lengths = torch.randint(0, 9, (rows,), generator=torch.Generator().manual_seed(seed))
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    found = by_length(order, lengths[order], size, torch.Generator().manual_seed(seed))
    assert sorted(found.tolist()) == list(range(rows))


def test_batches_hold_rows_of_near_length_and_little_filler() -> None:
    def filler(batches: list[torch.Tensor]) -> float:
        return sum(float((one.max() - one).sum()) for one in batches)

    made = data()
    bucketed = [one.inputs["text"].lengths() for one in made.batches("train", 32, seed=1, shuffle=True)]
    order = made.order("train", seed=1, shuffle=True)
    plain = [made.batch(rows).inputs["text"].lengths() for rows in torch.split(order, 32)]
    assert len(bucketed) == len(plain)
    assert filler(bucketed) < 0.1 * filler(plain)
    means = torch.tensor([float(one.float().mean()) for one in bucketed])
    assert not bool((means.sort().values == means).all())  # batches do not come in order of length


def test_an_epoch_is_a_function_of_its_seed_and_number() -> None:
    made = data()

    def rows(seed: int, epoch: int) -> list[list[int]]:
        return [one.row.tolist() for one in made.batches("train", 64, seed=seed, epoch=epoch, shuffle=True)]

    assert rows(0, 3) == rows(0, 3)
    assert rows(0, 3) != rows(0, 4)
    assert rows(0, 3) != rows(1, 3)
    together = {frozenset(one) for epoch in range(2) for one in rows(0, epoch)}
    assert len(together) == 2 * len(rows(0, 0))  # not the same rows together again
    few = data(200)
    once, again = (
        [set(one.row.tolist()) for one in few.batches("train", 20, seed=0, epoch=epoch, shuffle=True)]
        for epoch in (0, 1)
    )
    assert not any(one in once for one in again)


def test_rows_that_are_not_shuffled_and_tables_stay_as_they_were() -> None:
    made = data(10)
    assert [one.row.tolist() for one in made.batches("train", 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    table = EncodedData({"x": Field.dense(torch.zeros(10, 1))}, splits={"train": torch.arange(10)})
    found = torch.cat([one.row for one in table.batches("train", 4, seed=0, shuffle=True)])
    assert torch.equal(found, table.order("train", seed=0, shuffle=True))
    assert lengths_of(table.inputs) is None


def test_chunks_are_sorted_by_themselves() -> None:
    rows = CHUNKS * POOL * 2
    lengths = torch.arange(rows).flip(0)
    found = by_length(torch.arange(rows), lengths, 2, torch.Generator().manual_seed(0)).reshape(-1, 2)
    assert {frozenset(one) for one in found.tolist()} == {frozenset((at, at + 1)) for at in range(0, rows, 2)}


@pytest.mark.parametrize(("longest", "expected"), [(10, 4096), (256, 256), (10**6, 8)])
def test_fewer_rows_are_scored_at_once_where_texts_are_long(longest: int, expected: int) -> None:
    made = EncodedData({"text": texts(torch.tensor([1, longest]))}, splits={"valid": torch.tensor([0])})
    assert rows_at_once(made.first("valid", 1), made.longest) == expected
