"""Columns of pictures: paths, bytes, structs, zips and arrays; broken ones named and counted; statistics of training rows only."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field
from cotrain.data import pictures
from cotrain.data.column_settings import ColumnSettings
from cotrain.data.earlier import Earlier
from cotrain.data.encode import TableEncoder
from cotrain.data.image_encoder import ImageEncoder
from cotrain.data.infer import infer
from cotrain.data.picture_folders import folder_table, holds_pictures
from cotrain.data.picture_settings import ImageSettings
from cotrain.data.pictures import Pictures
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, prepare
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings, SplitSettings
from cotrain.data.store import tensors_of

Toys = Callable[..., dict[str, Any]]
ROWS = 24


def png(cells: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(cells, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def arrays(rows: int = ROWS, size: tuple[int, ...] = (6, 5, 3)) -> Any:
    return np.random.default_rng(0).integers(0, 256, (rows, *size), dtype=np.uint8)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A csv of paths and scores, its pictures beside it in a folder."""
    (tmp_path / "photos").mkdir()
    for place, cells in enumerate(arrays()):
        (tmp_path / "photos" / f"{place}.png").write_bytes(png(cells))
    table = pl.DataFrame({"photo": [f"photos/{place}.png" for place in range(ROWS)], "score": np.arange(ROWS) * 0.5})
    table.write_csv(tmp_path / "album.csv")
    return tmp_path / "album.csv"


def ready(
    source: Any, toys: Toys, *, image: dict[str, Any] | None = None, cache: Path | None = None, **more: Any
) -> Prepared:
    settings = DataSettings(image=ImageSettings(**(image or {})), **more)
    return prepare(read_table(source), Preparation(targets=toys("score"), settings=settings, seed=1, cache=cache))


def cells_of(prepared: Prepared, name: str = "photo") -> torch.Tensor:
    field = prepared.data.inputs[name]  # type: ignore[attr-defined]
    return field.select(torch.arange(len(field))).values


def test_a_column_of_paths_becomes_a_field_of_its_own(album: Path, toys: Toys) -> None:
    prepared = ready(album, toys)
    spec = prepared.specs["photo"]
    assert (spec.kind, spec.shape, spec.names) == ("image", (3, 6, 5), ("photo",))
    assert (cells_of(prepared).numpy() == arrays().transpose(0, 3, 1, 2)).all()
    train = arrays()[prepared.data.rows("train").numpy()].reshape(-1, 3) / 255  # type: ignore[attr-defined]
    np.testing.assert_allclose(spec.mean, train.mean(0), rtol=1e-12)
    np.testing.assert_allclose(spec.std, train.std(0), rtol=1e-9)
    about = {column["name"]: column for column in prepared.report["columns"]}
    assert about["photo"]["kind"] == "image"
    assert about["photo"]["note"] == "pictures of 6 x 5, red, green, blue"
    json.dumps(prepared.report, allow_nan=False)


def in_parquet(frame: pl.DataFrame, folder: Path) -> Path:
    frame.write_parquet(folder / "table.parquet")
    return folder / "table.parquet"


def as_bytes(folder: Path) -> Any:
    return in_parquet(pl.DataFrame({"photo": [png(one) for one in arrays()], "score": np.arange(ROWS) * 0.5}), folder)


def as_struct(folder: Path) -> Any:
    cells = [{"bytes": png(one), "path": None} for one in arrays()]
    return in_parquet(pl.DataFrame({"photo": cells, "score": np.arange(ROWS) * 0.5}), folder)


def as_zip(folder: Path) -> Any:
    with zipfile.ZipFile(folder / "photos.zip", "w") as opened:
        for place, one in enumerate(arrays()):
            opened.writestr(f"inside/{place}.png", png(one))
    return {"photo": [f"inside/{place}.png" for place in range(ROWS)], "score": np.arange(ROWS) * 0.5}


def as_array(folder: Path) -> Any:
    return {"photo": arrays(), "score": np.arange(ROWS) * 0.5}


def as_npz(folder: Path) -> Any:
    np.savez(folder / "table.npz", photo=arrays(), score=np.arange(ROWS) * 0.5)
    return folder / "table.npz"


@pytest.mark.parametrize("make", [as_bytes, as_struct, as_zip, as_array, as_npz], ids=lambda make: make.__name__)
def test_wherever_pictures_lie_they_are_the_same(make: Callable[[Path], Any], tmp_path: Path, toys: Toys) -> None:
    image = {"folder": str(tmp_path / "photos.zip")} if make is as_zip else {}
    prepared = ready(make(tmp_path), toys, image=image)
    assert (cells_of(prepared).numpy() == arrays().transpose(0, 3, 1, 2)).all()
    assert not [note for note in prepared.report["notes"] if "cannot" in note]
    assert not [one for one in prepared.warnings if "also in training" in one]


def test_twice_the_same_picture_in_two_splits_is_said_for_every_form(tmp_path: Path, toys: Toys) -> None:
    twice = np.concatenate([arrays(12)] * 2)
    score = np.tile(np.arange(12) * 0.5, 2)
    forms: list[dict[str, Any]] = [
        {"photo": twice},
        {"photo": [png(one) for one in twice]},
        {"photo": [{"bytes": png(one), "path": "x"} for one in twice]},
    ]
    said = [ready(pl.DataFrame({**form, "score": score}), toys).warnings for form in forms]
    assert said[0] == said[1] == said[2]
    assert any("also in training" in one for one in said[0])


def test_what_looks_like_pictures_is_taken_for_pictures() -> None:
    frame = pl.DataFrame(
        {
            "path": ["a/1.png", "a/2.JPEG", None],
            "word": ["cat.png eats", "dog", None],
            "raw": [png([[1]]), None, png([[2]])],
            "noise": [b"12345", b"67890", b"abcde"],
            "file": [{"bytes": None, "path": "x.webp"}] * 3,
            "grey": np.zeros((3, 4, 4), dtype=np.uint8),
            "video": np.zeros((3, 9, 4, 7), dtype=np.uint8),
        }
    )
    kinds = {name: column.kind for name, column in infer(frame).items()}
    assert kinds == {
        "path": "image", "word": "binary", "raw": "image", "noise": "other", "file": "image", "grey": "image", "video": "other",
    }  # fmt: skip
    assert infer(frame, {"noise": "image"})["noise"].kind == "image"
    with pytest.raises(
        DataError, match=r"column 'n': paths, bytes or arrays of pictures are expected, got cells of type Int64"
    ):
        infer(pl.DataFrame({"n": [1, 2]}), {"n": "image"})


def test_sizes_and_channels_are_those_of_the_training_pictures(toys: Toys, tmp_path: Path) -> None:
    grey = {"photo": arrays(size=(7, 4)), "score": np.arange(ROWS) * 0.5}
    assert ready(grey, toys).specs["photo"].shape == (1, 7, 4)
    assert ready(grey, toys, image={"channels": 3, "size": 5}).specs["photo"].shape == (3, 5, 5)
    mixed = [png(arrays(1, (5 + place % 2, 5))[0]) for place in range(ROWS)]
    frame = pl.DataFrame({"photo": mixed, "score": np.arange(ROWS) * 0.5})
    assert ready(frame, toys).specs["photo"].shape == (1, 64, 64)
    assert ready(frame, toys, image={"size": (3, 8)}).specs["photo"].shape == (1, 3, 8)
    large = pl.DataFrame({"photo": [png(np.zeros((300, 20)))] * ROWS, "score": np.arange(ROWS) * 0.5})
    assert ready(large, toys).specs["photo"].shape == (1, 64, 64)
    one = DataSettings(per_column={"photo": ColumnSettings(image=ImageSettings(size=9))})
    assert prepare(read_table(large), Preparation(targets=toys("score"), settings=one)).specs["photo"].shape == (
        1,
        9,
        9,
    )


def damaged(album: Path) -> Path:
    folder = album.parent / "photos"
    (folder / "3.png").unlink()
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:40])
    (folder / "7.png").write_text("nothing of the kind")
    return album


def test_broken_pictures_are_named_counted_and_missing(album: Path, toys: Toys) -> None:
    prepared = ready(damaged(album), toys)
    assert (~prepared.data.inputs["photo"].present).nonzero().flatten().tolist() == [3, 5, 7]  # type: ignore[attr-defined]
    assert not cells_of(prepared)[[3, 5, 7]].any()
    (step,) = [step for step in prepared.report["cleaning"] if step["step"] == "broken picture"]
    assert (step["column"], step["count"]) == ("photo", 3)
    assert "row 4 ('photos/3.png'): no such file in" in step["detail"]
    assert "row 8 ('photos/7.png'): no kind of picture that is known (19 bytes" in step["detail"]
    assert sum(prepared.report["splits"].values()) == ROWS


def test_broken_pictures_leave_training_or_are_refused_where_that_is_said(album: Path, toys: Toys) -> None:
    whole = ready(damaged(album), toys).data.rows("train").tolist()  # type: ignore[attr-defined]
    prepared = ready(album, toys, image={"broken": "drop"})
    gone = {3, 5, 7} & set(whole)
    assert gone
    assert set(prepared.data.rows("train").tolist()) == set(whole) - gone  # type: ignore[attr-defined]
    assert sum(prepared.report["splits"].values()) == ROWS - len(gone)
    assert [step["count"] for step in prepared.report["cleaning"] if step["step"] == "rows with a broken picture"] == [
        len(gone)
    ]
    with pytest.raises(
        DataError, match=r"column 'photo': 3 pictures cannot be read: row 4 .*; mend them or take the rows out"
    ):
        ready(album, toys, image={"broken": "refuse"})


def test_pictures_none_of_which_can_be_read_stop_everything(toys: Toys) -> None:
    table = {"photo": [f"nowhere/{place}.png" for place in range(ROWS)], "score": np.arange(ROWS) * 0.5}
    with pytest.raises(
        DataError, match=r"none of the \d+ training rows has one; .*no such file.*say data.image.folder"
    ):
        ready(table, toys)


def test_a_missing_picture_is_not_broken(toys: Toys) -> None:
    cells = [None if place % 3 == 0 else png(one) for place, one in enumerate(arrays())]
    prepared = ready(pl.DataFrame({"photo": cells, "score": np.arange(ROWS) * 0.5}), toys)
    assert prepared.data.inputs["photo"].present.tolist() == [place % 3 != 0 for place in range(ROWS)]  # type: ignore[attr-defined]
    assert not [step for step in prepared.report["cleaning"] if "picture" in step["step"]]
    nested = pl.DataFrame({"photo": pl.Series(arrays()), "score": np.arange(ROWS) * 0.5})
    nested = nested.with_columns(pl.when(pl.col("score") > 1).then("photo").otherwise(None).alias("photo"))
    held = ready(nested, toys)
    assert held.data.inputs["photo"].present.sum() == ROWS - 3  # type: ignore[attr-defined]
    assert (cells_of(held)[5].numpy() == arrays()[5].transpose(2, 0, 1)).all()


def test_pictures_too_many_to_be_kept_are_decoded_when_rows_are_taken(album: Path, toys: Toys, tmp_path: Path) -> None:
    kept = ready(damaged(album), toys)
    lazy = ready(album, toys, image={"cache_mib": 0}, cache=tmp_path / "cache")
    again = ready(album, toys, image={"cache_mib": 0}, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    for prepared in (lazy, again):
        field = prepared.data.inputs["photo"]  # type: ignore[attr-defined]
        assert isinstance(field, Pictures)
        assert field.present.tolist() == kept.data.inputs["photo"].present.tolist()  # type: ignore[attr-defined]
        assert prepared.specs == kept.specs
        pairs = zip(
            prepared.data.batches("train", 5, seed=3, shuffle=True),
            kept.data.batches("train", 5, seed=3, shuffle=True),
            strict=True,
        )
        for one, other in pairs:
            one.check()
            assert torch.equal(one.inputs["photo"].values, other.inputs["photo"].values)
            assert torch.equal(one.inputs["photo"].present, other.inputs["photo"].present)
    blank = lazy.data.whole("test")
    assert blank.inputs["photo"].values.shape == (lazy.data.count("test"), 0)


def test_encoded_pictures_are_kept_until_a_picture_changes(
    album: Path, toys: Toys, tmp_path: Path, monkeypatch: Any
) -> None:
    cache = tmp_path / "cache"
    first = ready(album, toys, cache=cache)
    monkeypatch.setattr(pictures, "decoded", lambda *_: pytest.fail("decoded again"))
    second = ready(album, toys, cache=cache)
    a, b = tensors_of(first.data), tensors_of(second.data)  # type: ignore[arg-type]
    assert list(a) == list(b)
    assert all(torch.equal(a[name], b[name]) for name in a)
    monkeypatch.undo()
    (album.parent / "photos" / "0.png").write_bytes(png(np.zeros((6, 5, 3))))
    third = ready(album, toys, cache=cache)
    assert not cells_of(third)[0].any()
    assert len(list(cache.iterdir())) == 2


def test_many_threads_decode_in_order_what_one_does(monkeypatch: Any, toys: Toys) -> None:
    table = {"photo": arrays(200), "score": np.arange(200) * 0.5}
    monkeypatch.setattr(pictures, "CHUNK", 7)
    monkeypatch.setattr(pictures, "IN_MEMORY", 1000)  # a nameless file beyond
    assert (cells_of(ready(table, toys)).numpy() == arrays(200).transpose(0, 3, 1, 2)).all()


def test_an_encoder_of_pictures_comes_back_from_its_json_and_reads_rows_from_elsewhere(
    album: Path, toys: Toys, tmp_path: Path
) -> None:
    encoder = ready(album, toys).encoder
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    assert isinstance(again.encoders[0], ImageEncoder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "new.png").write_bytes(png(np.full((12, 10, 3), 9)))
    frame = pl.DataFrame({"photo": ["new.png", "gone.png", None]})
    fields, notes = again.encode(frame, folder=elsewhere)
    assert fields["photo"].present.tolist() == [True, False, False]
    assert isinstance(fields["photo"], Field)
    assert (fields["photo"].values[0] == 9).all()
    assert [note for note in notes if "row 2 ('gone.png'): no such file" in note and "count as missing" in note]


def test_pictures_of_a_later_run_are_read_as_those_of_the_one_it_begins_with(
    album: Path, toys: Toys, tmp_path: Path
) -> None:
    first = ready(album, toys, image={"size": 4, "channels": 1})
    earlier = Earlier("first", first.encoder, {})
    table = read_table({"photo": arrays(size=(9, 9, 3)), "score": np.arange(ROWS) * 0.5})
    settings = DataSettings(image=ImageSettings(folder="elsewhere"))
    later = prepare(table, Preparation(targets=toys("score"), settings=settings, earlier=earlier))
    assert later.specs["photo"] == first.specs["photo"]
    assert cells_of(later).shape == (ROWS, 1, 4, 4)
    assert later.encoder.encoders[0].folder == "elsewhere"  # type: ignore[union-attr]


def test_a_folder_is_a_table_of_its_pictures(tmp_path: Path, toys: Toys) -> None:
    for place, cells in enumerate(arrays()):
        folder = tmp_path / ["cat", "dog"][place % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{place:02d}.png").write_bytes(png(cells))
    (tmp_path / "cat" / "notes.txt").write_text("taken in May")
    (tmp_path / ".hidden.png").write_bytes(b"")
    table = read_table(tmp_path)
    assert table.frame.columns == ["path", "label"]
    assert table.frame["label"].to_list() == ["cat"] * 12 + ["dog"] * 12
    assert [note for note in table.notes if "1 files" in note and "no pictures" in note]
    assert table.digest() == read_table(tmp_path).digest() is not None
    prepared = prepare(table, Preparation(targets=toys("label"), cache=tmp_path / "cache"))
    assert prepared.specs["path"].shape == (3, 6, 5)
    assert not prepared.data.inputs["path"].present.logical_not().any()  # type: ignore[attr-defined]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as opened:
        for one in sorted((tmp_path / "cat").iterdir()):
            opened.write(one, f"cat/{one.name}")
    zipped = read_table(tmp_path / "all.zip")
    assert zipped.frame["label"].to_list() == ["cat"] * 12
    encoded, _ = prepared.encoder.encode(zipped.frame.rename({"label": "other"}))
    assert torch.equal(encoded["path"].values, cells_of(prepared, "path")[:12])  # type: ignore[union-attr]


def test_folders_called_train_and_test_are_the_split(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            (tmp_path / split / label / "1.png").write_bytes(png([[1]]))
    frame, notes, _ = folder_table(tmp_path)
    assert frame["split"].to_list() == ["test", "test", "train", "train", "valid", "valid"]
    assert frame["label"].to_list() == ["a", "b"] * 3
    assert any("split: {method: column, by: split}" in note for note in notes)
    assert not holds_pictures(tmp_path / "nothing")
    flat = tmp_path / "train" / "a"
    assert folder_table(flat)[0].columns == ["path"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is a folder without pictures"):
        read_table(tmp_path / "empty")


def test_pictures_split_by_files_lie_each_beside_their_own_table(tmp_path: Path, toys: Toys) -> None:
    for split, rows in (("train", 12), ("test", 6)):
        for place, cells in enumerate(arrays(rows)):
            (tmp_path / split / str(place % 2)).mkdir(parents=True, exist_ok=True)
            (tmp_path / split / str(place % 2) / f"{place}.png").write_bytes(png(cells))
    settings = DataSettings(split=SplitSettings("files", test=str(tmp_path / "test")))
    prepared = prepare(read_table(tmp_path / "train"), Preparation(targets=toys("label"), settings=settings))
    assert prepared.report["splits"] == {"train": 10, "valid": 2, "test": 6}
    assert prepared.data.inputs["path"].present.all()  # type: ignore[attr-defined]


def test_a_column_named_like_a_field_of_tables_has_a_field_of_its_own(toys: Toys) -> None:
    prepared = ready(
        {"numbers": arrays(), "x": np.random.default_rng(1).normal(size=ROWS), "score": np.arange(ROWS) * 0.5}, toys
    )
    assert set(prepared.specs) == {"numbers", "numbers_"}
    assert prepared.specs["numbers_"].kind == "image"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 0}, "data.image.size"),
        ({"size": (3, 4, 5)}, "data.image.size"),
        ({"channels": 2}, "data.image.channels"),
        ({"broken": "ignore"}, "data.image.broken"),
        ({"cache_mib": -1}, "data.image.cache_mib"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ImageSettings(**wrong)


def test_without_pillow_the_extra_to_install_is_named(monkeypatch: Any, toys: Toys) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(
        Exception, match=r"reading pictures needs an optional dependency: pip install 'cotrain\[image\]'"
    ):
        ready({"photo": arrays(), "score": np.arange(ROWS) * 0.5}, toys, image={"size": (4, 4)})
