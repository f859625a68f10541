"""The makers' batches of CIFAR, miniature ones in both forms of pickle, and pickles that want to run something."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotrain.core.errors import DataError
from cotrain.data.cifar_batches import cifar_table, holds_batches, unpickled
from cotrain.data.large import many_rows
from cotrain.data.read import PLAIN, read_table

NAMES = [b"airplane", b"automobile", b"bird"]
CELLS = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)


def string(text: bytes) -> bytes:
    """A string as Python 2 writes it."""
    return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text


def old_pickle(cells: Any, labels: list[int]) -> bytes:
    """{data, labels} as Python 2's cPickle and the NumPy of its day wrote them, opcode by opcode."""
    kind = (
        b"cnumpy\ndtype\n"
        + string(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + string(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    shape = b"K" + bytes([len(cells)]) + b"M" + struct.pack("<H", cells.shape[1]) + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    array += b"(K\x01" + shape + kind + b"\x89" + string(cells.tobytes()) + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([one]) for one in labels) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + listed + b"u."


def miniature(folder: Path) -> Path:
    """Two batches to train on (one written by Python 2, one by Python 3) and one to test, with the names of the classes."""
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    (batches / "data_batch_1").write_bytes(old_pickle(CELLS, [0, 1, 2, 1]))
    (batches / "data_batch_2").write_bytes(pickle.dumps({b"data": CELLS[::-1], b"labels": [2, 2, 0, 1]}, protocol=2))
    (batches / "test_batch").write_bytes(pickle.dumps({b"data": CELLS[:2], b"labels": [1, 0]}, protocol=4))
    (batches / "batches.meta").write_bytes(pickle.dumps({b"label_names": NAMES, b"num_vis": 3072}, protocol=2))
    (batches / "readme.html").write_text("not a batch")
    return batches


def test_batches_of_old_and_new_pickles_are_one_table(tmp_path: Path) -> None:
    frame, notes, _ = cifar_table(miniature(tmp_path))
    assert frame["split"].to_list() == ["train"] * 8 + ["test"] * 2
    assert frame["label"].to_list()[:4] == ["airplane", "automobile", "bird", "automobile"]
    assert frame["label"].to_list()[4:] == ["bird", "bird", "airplane", "automobile", "automobile", "airplane"]
    pictures = frame["picture"].to_numpy()
    assert pictures.shape == (10, 32, 32, 3)
    # the first 1024 numbers of a row are red, row by row of the picture
    assert pictures[1, 3, 7].tolist() == [
        CELLS[1, 3 * 32 + 7],
        CELLS[1, 1024 + 3 * 32 + 7],
        CELLS[1, 2048 + 3 * 32 + 7],
    ]
    assert (pictures[4:8] == pictures[3::-1]).all()
    assert "10 pictures of 3 batches" in notes[0]


def test_the_archive_is_read_as_the_folder_is_and_both_are_known_by_themselves(tmp_path: Path) -> None:
    folder = miniature(tmp_path)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as opened:
        opened.add(folder, "cifar-10-batches-py")
    packed, plain = read_table(tmp_path / "cifar-10-python.tar.gz"), read_table(folder)
    assert packed.frame.equals(plain.frame)
    assert packed.digest() == plain.digest() is not None
    assert not many_rows(tmp_path / "cifar-10-python.tar.gz", PLAIN)
    assert not many_rows(folder, PLAIN)
    assert not holds_batches(tmp_path)


def test_cifar_100_has_classes_and_groups_of_classes(tmp_path: Path) -> None:
    batch = {b"data": CELLS, b"fine_labels": [0, 1, 2, 3], b"coarse_labels": [1, 0, 1, 0]}
    meta = {b"fine_label_names": [b"apple", b"bee", b"cup", b"dog"], b"coarse_label_names": [b"living", b"thing"]}
    for name, value in (("train", batch), ("test", batch), ("meta", meta)):
        (tmp_path / name).write_bytes(pickle.dumps(value, protocol=2))
    frame = read_table(tmp_path).frame
    assert frame["label"].to_list()[:4] == ["apple", "bee", "cup", "dog"]
    assert frame["group"].to_list()[:4] == ["thing", "living", "thing", "living"]


class Evil:
    """What runs a command when it is unpickled by the plain library."""

    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    "raw",
    [
        pickle.dumps({b"data": Evil()}, protocol=2),
        b"cbuiltins\neval\n(S'1 + 1'\ntR.",
        b"cos\nsystem\n(S'touch ran'\ntR.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
        b"c_codecs\ndecode\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",
    ],
    ids=range(6),
)
def test_a_pickle_that_asks_for_anything_else_is_refused_before_it_runs(
    raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="which may run anything; it was not called"):
        unpickled(raw, "a batch")
    assert not (tmp_path / "ran").exists()


def test_the_names_that_are_known_do_nothing_but_hold_numbers() -> None:
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(DataError, match="got kind 'O8'"):
        unpickled(pickle.dumps({b"data": objects}, protocol=2), "a batch")
    with pytest.raises(DataError, match=r"got _Array|got type|got _Kind|expected"):
        unpickled(b"\x80\x02cnumpy\nndarray\n.", "a batch")
    deep = np.arange(6, dtype=">f4").reshape(2, 3, order="F")
    found = unpickled(pickle.dumps({b"data": deep}, protocol=2), "a batch")[b"data"]
    assert (found == deep).all()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "data_batch_1",
            {b"data": CELLS[:, :100], b"labels": [0] * 4},
            r"uint8 \[rows, 3072\] is expected, got uint8 \[4, 100\]",
        ),
        ("data_batch_1", {b"data": CELLS, b"labels": [0]}, r"one label a picture is expected \(4\), got 1"),
        ("data_batch_1", {b"data": CELLS, b"labels": [0, 1, 2, 9]}, "a label has no name"),
        ("data_batch_1", [1, 2], "a dictionary is expected, got list"),
    ],
)
def test_a_damaged_batch_is_named(name: str, value: Any, says: str, tmp_path: Path) -> None:
    folder = miniature(tmp_path)
    (folder / name).write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(DataError, match=f"{name}.*{says}"):
        cifar_table(folder)
    (folder / name).write_bytes((folder / "test_batch").read_bytes()[:50])
    with pytest.raises(DataError, match=f"{name}' is damaged"):
        cifar_table(folder)
    (tmp_path / "cifar.tar.gz").write_bytes(io.BytesIO(b"no tar").getvalue())
    with pytest.raises(DataError, match="cannot be read as a tar"):
        read_table(tmp_path / "cifar.tar.gz")
