"""Rows in shards: what is written is what is drawn, every row once an epoch, in an order of (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.core.errors import ConfigError, DataError, UnsupportedError
from cotrain.core.fields import Batch, Field
from cotrain.data import shards as shards_room
from cotrain.data.sample import EncodedData, several
from cotrain.data.shard_files import Section
from cotrain.data.shard_writer import META, ShardWriter, entry_at, finished, found, moved, scratch
from cotrain.data.shards import ShardedData
from cotrain.training.feed import Feed

SPLITS = ("train", "valid", "test")


def rows_of(start: int, stop: int) -> Batch:
    """Made rows: each a function of its number alone."""
    row = torch.arange(start, stop)
    values = torch.stack([row * 1.0, row * 2.0], 1)
    return Batch(
        {
            "numbers": Field(values, torch.ones(len(row), dtype=torch.bool), None, torch.stack([row % 3 > 0, row >= 0], 1)),
            "categories": Field.dense(row.unsqueeze(1) % 7),
        },
        {
            "a": Field(row.float() % 2, row % 5 != 0, weight=(row % 3).float()),
            "b": Field(torch.stack([row * 0.5, row * 0.25], 1).float(), row % 9 == 0),
        },
        (row % 4).float(),
        row,
    )  # fmt: skip


def split_of(row: torch.Tensor) -> list[str]:
    return [SPLITS[0 if place % 10 < 7 else 1 if place % 10 < 8 else 2] for place in row.tolist()]


def written(folder: Path, rows: int = 1000, piece: int = 130, shard: int = 100, seed: int = 0) -> ShardedData:
    folder.mkdir(exist_ok=True)
    writer = ShardWriter(folder, {"train": 0.7 * rows, "valid": 0.1 * rows, "test": 0.2 * rows}, seed, rows=shard)
    for start in range(0, rows, piece):
        part = rows_of(start, min(rows, start + piece))
        assert part.row is not None
        writer.add(part, split_of(part.row))
    finished(folder, writer, "main", {"report": 1})
    return entry_at(folder).data


def drawn(batches: Iterator[Batch]) -> list[int]:
    return [row for batch in batches if batch.row is not None for row in batch.row.tolist()]


def same(one: Batch, other: Batch) -> None:
    """Equal to the last bit."""
    assert one.row is not None
    assert other.row is not None
    assert torch.equal(one.row, other.row)
    assert one.weight is not None
    assert other.weight is not None
    assert torch.equal(one.weight, other.weight)
    for mine, theirs in ((one.inputs, other.inputs), (one.targets, other.targets)):
        assert list(mine) == list(theirs)
        for name, field in mine.items():
            assert field.values.dtype == theirs[name].values.dtype
            assert torch.equal(field.values, theirs[name].values)
            assert torch.equal(field.held(), theirs[name].held())
            assert (field.weight is None) == (theirs[name].weight is None)
            assert field.weight is None or torch.equal(field.weight, theirs[name].weight)  # type: ignore[arg-type]


@pytest.fixture
def data(tmp_path: Path) -> ShardedData:
    return written(tmp_path / "k")


def test_every_row_is_drawn_once_an_epoch_with_its_own_cells(data: ShardedData) -> None:
    assert data.counts == {"train": 700, "valid": 100, "test": 200}
    for split in SPLITS:
        for shuffle in (False, True):
            seen = []
            for batch in data.batches(split, 64, seed=0, shuffle=shuffle):
                batch.check()
                assert batch.row is not None
                same(batch, rows_of(0, 1000).select(batch.row))
                seen += batch.row.tolist()
            assert sorted(seen) == [row for row in range(1000) if split_of(torch.tensor([row])) == [split]]


def test_an_epoch_goes_on_in_its_middle_where_it_was_left(data: ShardedData) -> None:
    feed = Feed(lambda epoch: data.batches("train", 32, seed=5, epoch=epoch, shuffle=True), tasks=("a", "b"), workers=2)
    whole = [drawn(iter(step)) for step in feed.epoch(2)]
    assert len(whole) == 22
    for skip in (1, 9, 21):
        assert [drawn(iter(step)) for step in feed.epoch(2, skip=skip)] == whole[skip:]


def test_batches_are_full_but_for_the_last_and_as_many_as_steps_says(data: ShardedData) -> None:
    for size in (1, 7, 64, 99, 100, 101, 350, 699, 700, 5000):
        sizes = [len(batch) for batch in data.batches("train", size, seed=1, shuffle=True)]
        assert len(sizes) == data.steps("train", size)
        assert all(one == size for one in sizes[:-1])
        assert sum(sizes) == 700
        full = [len(batch) for batch in data.batches("train", size, seed=1, shuffle=True, drop_last=True)]
        assert full == [size] * data.steps("train", size, drop_last=True)


def test_the_order_depends_on_seed_and_epoch_alone(data: ShardedData, tmp_path: Path) -> None:
    def order(source: ShardedData, seed: int, epoch: int) -> list[int]:
        return drawn(source.batches("train", 50, seed=seed, epoch=epoch, shuffle=True))

    assert order(data, 3, 1) == order(entry_at(tmp_path / "k").data, 3, 1)
    assert order(data, 3, 1) != order(data, 3, 2)
    assert order(data, 3, 1) != order(data, 4, 1)


@settings(max_examples=10, deadline=None)
@given(piece=st.integers(20, 1100))
def test_the_shards_are_the_same_however_the_table_was_cut(
    tmp_path_factory: pytest.TempPathFactory, piece: int
) -> None:
    one = written(tmp_path_factory.mktemp("a") / "k")
    other = written(tmp_path_factory.mktemp("b") / "k", piece=piece)
    for shard, twin in zip(one.shards["train"], other.shards["train"], strict=True):
        assert shard == twin


def test_neighbours_in_the_table_come_far_apart_in_an_epoch(data: ShardedData) -> None:
    order = np.array(drawn(data.batches("train", 64, seed=0, shuffle=True)))
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.15
    first = np.sort(order[:64])
    assert first.min() < 150
    assert first.max() > 850


def test_a_shard_is_a_random_part_of_its_split(tmp_path: Path) -> None:
    data = written(tmp_path / "k", rows=20_000, piece=3000, shard=500)
    sizes = np.array([shard.rows for shard in data.shards["train"]])
    assert len(sizes) == 28
    assert np.abs(sizes - 500).max() < 5 * 500**0.5
    rows = data.first("train", 500).row
    assert rows is not None
    assert abs(float(rows.double().mean()) - 10_000) < 5 * 20_000 / 12**0.5 / 500**0.5


def test_more_rows_than_expected_go_to_further_shards(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, {"train": 10}, 0, rows=50)
    rows = rows_of(0, 400)
    writer.add(rows, ["train"] * 400)
    finished(tmp_path, writer, "main", {})
    data = entry_at(tmp_path).data
    assert data.counts == {"train": 400}
    assert len(data.shards["train"]) == 8
    assert sorted(drawn(data.batches("train", 64))) == list(range(400))


def test_with_fewer_tasks_rows_without_a_label_are_passed_over(data: ShardedData) -> None:
    whole = rows_of(0, 1000)
    memory = EncodedData(
        whole.inputs,
        whole.targets,
        splits={name: torch.tensor([row for row in range(1000) if split_of(torch.tensor([row])) == [name]]) for name in SPLITS},
        weight=whole.weight,
    )  # fmt: skip
    for tasks in (["a"], ["b"], ["b", "a"]):
        mine, theirs = data.for_tasks(tasks), memory.for_tasks(tasks)
        assert mine.counts == theirs.counts
        assert set(mine.task_names) == set(theirs.task_names)
        batches = list(mine.batches("test", 30, seed=0, shuffle=True))
        assert len(batches) == mine.steps("test", 30)
        assert sorted(drawn(iter(batches))) == theirs.rows("test").tolist()
        assert set(batches[0].targets) == set(tasks)
    assert data.task_names == ("a", "b")


def test_few_rows_stand_for_many(data: ShardedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_room, "SAMPLE_ROWS", 150)
    monkeypatch.setattr(shards_room, "WATCHED_ROWS", 250)
    assert len(data.sample("train")) == 150
    assert len(data.first("test", 5)) == 5
    assert len(data.whole("test")) == 200
    assert drawn(iter([data.whole("test")])) == drawn(data.batches("test", 13))
    some = data.watched("train")
    assert 150 < some.count("train") <= 250
    assert set(drawn(some.batches("train", 64))) < set(drawn(data.batches("train", 64)))
    assert data.watched("valid").count("valid") == 100


def test_an_unknown_split_a_size_below_one_and_a_missing_seed_are_refused(data: ShardedData) -> None:
    with pytest.raises(DataError, match="did you mean 'train'"):
        data.count("trian")
    with pytest.raises(ConfigError, match="at least 1"):
        next(data.batches("train", 0))
    with pytest.raises(ConfigError, match="need a seed"):
        next(data.batches("train", 4, shuffle=True))


def test_a_shard_that_was_changed_is_found_when_it_is_opened(data: ShardedData) -> None:
    file = data.folder / data.shards["train"][0].file
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged \(another checksum"):
        list(data.batches("train", 64))


@pytest.mark.parametrize("damage", ["cut", "gone", "meta gone", "meta cut"])
def test_a_damaged_entry_is_said_and_taken_away(tmp_path: Path, damage: str) -> None:
    data = written(tmp_path / "k")
    file, meta = tmp_path / "k" / data.shards["valid"][0].file, tmp_path / "k" / META
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "gone":
        file.unlink()
    elif damage == "meta gone":
        meta.unlink()
    else:
        meta.write_text(meta.read_text()[:50])
    entry, wrong = found(tmp_path, "k")
    assert entry is None
    assert wrong is not None
    assert "made again" in wrong
    assert list(tmp_path.iterdir()) == []
    assert found(tmp_path, "k") == (None, None)


def test_an_entry_is_whole_or_absent_and_the_first_one_stays(tmp_path: Path) -> None:
    for _ in range(2):
        place = scratch(tmp_path, "k")
        written(place)
        moved(place, tmp_path, "k")
        assert [path.name for path in tmp_path.iterdir()] == ["k"]
    entry, _ = found(tmp_path, "k")
    assert entry is not None
    assert entry.kept == {"report": 1}


def test_a_temporary_folder_goes_with_the_last_who_uses_it(tmp_path: Path) -> None:
    written(tmp_path / "k")
    data = entry_at(tmp_path / "k", temporary=True).data
    view = data.watched("train")
    del data
    assert view.count("train") == 700
    assert len(list(view.batches("train", 100))) == 7
    del view
    assert not (tmp_path / "k").exists()


def test_several_sources_can_lie_on_disk_and_in_memory(data: ShardedData) -> None:
    rows = rows_of(0, 50)
    memory = EncodedData(rows.inputs, rows.targets, splits={"train": torch.arange(50)}, weight=rows.weight, source="b")
    steps = list(several([data, memory], "train", [100, 10], seed=0, shuffle=True))
    assert len(steps) == 7
    assert [len(batch) for batch in steps[0]] == [100, 10]


def test_rows_of_several_values_are_refused(tmp_path: Path) -> None:
    ragged = Field(torch.arange(3), torch.ones(2, dtype=torch.bool), torch.tensor([0, 1, 3]))
    writer = ShardWriter(tmp_path, {"train": 2}, 0)
    with pytest.raises(UnsupportedError, match="'words' has several values a row"):
        writer.add(Batch({"words": ragged}, row=torch.arange(2)), ["train", "train"])


def test_a_section_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown kind 'float23'"):
        Section("input", "x", "values", "float23").kind  # noqa: B018
