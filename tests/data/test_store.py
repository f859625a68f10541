"""The cache: an entry is whole or absent, its name is what it was made from, a damaged one is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from cotrain.core.fields import Field
from cotrain.data.sample import EncodedData
from cotrain.data.store import key_of, load, save, tensors_of


def data() -> EncodedData:
    return EncodedData(
        {
            "numbers": Field.dense(torch.randn(30, 3)),
            "a.b/ü": Field(torch.arange(12), torch.arange(30) < 12, torch.arange(31).clamp(max=12)),
            "none": Field.dense(torch.zeros(30, 0)),
        },
        {"y": Field(torch.randn(30, 2), torch.arange(30) % 2 == 0, None, torch.rand(30, 2) > 0.5, torch.rand(30))},
        splits={"train": torch.arange(20), "test": torch.arange(20, 30)},
        weight=torch.rand(30),
        source="wards",
    )


def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path: Path) -> None:
    whole = data()
    save(tmp_path, "k", whole, {"report": {"rows": 30}})
    entry, wrong = load(tmp_path, "k")
    assert wrong is None
    assert entry is not None
    assert entry.kept == {"report": {"rows": 30}}
    assert entry.data.source == "wards"
    before, after = tensors_of(whole), tensors_of(entry.data)
    assert list(before) == list(after)
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype
        assert torch.equal(tensor, after[name])
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_an_absent_entry_is_no_complaint(tmp_path: Path) -> None:
    assert load(tmp_path, "k") == (None, None)


@pytest.mark.parametrize("damage", ["cut", "bit", "gone", "meta cut", "meta gone", "dtype"])
def test_a_damaged_entry_is_found_said_and_taken_away(tmp_path: Path, damage: str) -> None:
    save(tmp_path, "k", data(), {})
    file = max((tmp_path / "k").glob("*.bin"), key=lambda path: path.stat().st_size)
    meta = tmp_path / "k" / "meta.json"
    if damage == "cut":
        os.truncate(file, file.stat().st_size - 1)
    elif damage == "bit":
        content = bytearray(file.read_bytes())
        content[7] ^= 1
        file.write_bytes(content)
    elif damage == "gone":
        file.unlink()
    elif damage == "meta cut":
        os.truncate(meta, meta.stat().st_size // 2)
    elif damage == "meta gone":
        meta.unlink()
    else:
        meta.write_text(meta.read_text().replace("float32", "float23"))
    entry, wrong = load(tmp_path, "k")
    assert entry is None
    assert wrong is not None
    assert "made again" in wrong
    assert list(tmp_path.iterdir()) == []
    save(tmp_path, "k", data(), {})
    assert load(tmp_path, "k")[0] is not None


def test_a_write_that_is_broken_off_leaves_nothing_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: object, value: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cotrain.data.store.write_json", broken)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, "k", data(), {})
    assert load(tmp_path, "k") == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_whoever_comes_second_leaves_the_first_entry(tmp_path: Path) -> None:
    save(tmp_path, "k", data(), {"by": "first"})
    save(tmp_path, "k", data(), {"by": "second"})
    entry, _ = load(tmp_path, "k")
    assert entry is not None
    assert entry.kept == {"by": "first"}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_key_follows_everything_it_is_made_of() -> None:
    assert key_of("a", {"rare": 2}) == key_of("a", {"rare": 2})
    assert len({key_of("a", 1), key_of("a", 2), key_of("b", 1), key_of("a1"), key_of(["a", 1])}) == 5
