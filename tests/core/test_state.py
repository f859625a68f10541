"""State goes to named tensors and JSON and back; a file is whole or absent."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cotrain.core.state import flatten, plain, unflatten, whole_file, write_json

TENSORS = st.lists(st.floats(-5, 5, width=32), max_size=3).map(torch.tensor)
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3) | TENSORS
WORDS = st.text(max_size=3) | st.sampled_from(["__tensor__", "__pairs__", "a.b", "a"])
STATES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS, inner, max_size=3)
        | st.dictionaries(st.integers(-3, 3), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


@given(STATES)
@settings(max_examples=150, deadline=None)
def test_any_state_comes_back_through_json_as_it_was(state: Any) -> None:
    tensors, tree = flatten(state)
    assert len({id(one) for one in tensors.values()}) <= len(tensors)
    assert same(unflatten(tensors, json.loads(json.dumps(tree))), state)


def test_an_optimisers_state_comes_back_and_loads() -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    tensors, tree = flatten(optimizer.state_dict())
    fresh = torch.optim.AdamW(layer.parameters())
    fresh.load_state_dict(unflatten(tensors, json.loads(json.dumps(tree))))
    assert same(plain(fresh.state_dict()), plain(optimizer.state_dict()))


@pytest.mark.parametrize("wrong", [{"a": {"b": object()}}, {"a": {"b": {(1, 2): 3}}}])
def test_what_cannot_be_kept_is_refused_with_its_path(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"'a\.b'"):
        flatten(wrong)


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize("old", [b"old", None])
def test_a_crash_while_writing_leaves_the_old_file_or_none(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "deep" / "state.bin"
    if old is not None:
        path.parent.mkdir()
        path.write_bytes(old)

    def write_half() -> None:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise PowerCutError

    with pytest.raises(PowerCutError):
        write_half()
    assert path.exists() == (old is not None)
    assert old is None or path.read_bytes() == old
    assert [one.name for one in path.parent.iterdir()] == (["state.bin"] if old is not None else [])


def test_a_failing_rename_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def fail(source: object, target: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_written_file_may_be_read_by_whoever_may_read_new_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    (tmp_path / "b.json").write_text("{}")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b.json").stat().st_mode


def test_json_holds_plain_values_only(tmp_path: Path) -> None:
    value = {"nan": math.nan, "inf": -math.inf, "np": np.float32(0.5), "array": np.array([[1, 2]]), "tensor": torch.tensor([1.5, math.inf]),
             "path": tmp_path, "tuple": (True, None), 3: "ü"}  # fmt: skip
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {
        "nan": None, "inf": None, "np": 0.5, "array": [[1, 2]], "tensor": [1.5, None], "path": str(tmp_path), "tuple": [True, None], "3": "ü",
    }  # fmt: skip
