"""Files read piece by piece hold the rows that reading the whole gives, however they are cut."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cotrain.core.errors import DataError
from cotrain.data import text_pieces
from cotrain.data.manners import manners, numbered
from cotrain.data.notes import Notes
from cotrain.data.pieces import LargeTable, large_table
from cotrain.data.read import read_table
from cotrain.data.settings import ReadSettings
from cotrain.data.text_pieces import last_end, pieces


def rows(count: int = 300) -> pl.DataFrame:
    """Numbers, whole numbers, words with commas, quotes and line ends, and missing cells."""
    random = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "x": pl.Series(random.normal(size=count).round(4)).set(pl.Series(random.random(count) < 0.1), None),
            "n": random.integers(0, 50, count),
            "word": [f'{place % 7} is "odd",\nor {place}' if place % 5 == 0 else f"w{place % 11}" for place in range(count)],
            "y": random.choice(["yes", " no", "?"], count),
        }
    )  # fmt: skip


def gathered(table: LargeTable, size: int = 37) -> pl.DataFrame:
    """All pieces one below the other, numbers typed as the whole decides."""
    found = list(table.pieces(rows=size))
    assert [piece.start for piece in found] == np.cumsum([0, *(len(piece.frame) for piece in found)])[:-1].tolist()
    whole = pl.concat([piece.frame for piece in found], how="vertical_relaxed")
    return numbered(whole, manners(whole, table.reading.decimal, table.comma_free)[0])


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet", "arrow", "jsonl"])
def test_pieces_hold_the_rows_of_the_whole_table(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_pieces, "PIECE", 500)
    path, frame = tmp_path / f"rows.{ending}", rows()
    match ending:
        case "csv":
            frame.write_csv(path)
        case "csv.gz":
            path.write_bytes(gzip.compress(frame.write_csv().encode()))
        case "tsv":
            frame.write_csv(path, separator="\t")
        case "parquet":
            frame.write_parquet(path, row_group_size=64)
        case "arrow":
            frame.write_ipc(path)
        case _:
            frame.write_ndjson(path)
    table = large_table(path)
    assert table.columns == ("x", "n", "word", "y")
    assert_frame_equal(gathered(table), read_table(path).frame)


def test_several_files_follow_each_other_whatever_the_order_of_their_columns(tmp_path: Path) -> None:
    frame = rows(60)
    frame[:25].write_csv(tmp_path / "a.csv")
    frame[25:].select("y", "word", "n", "x").write_csv(tmp_path / "b.csv")
    table = large_table(str(tmp_path / "*.csv"))
    assert_frame_equal(gathered(table), read_table(str(tmp_path / "*.csv")).frame)


def test_files_with_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    rows(20).write_csv(tmp_path / "a.csv")
    rows(20).drop("n").write_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"b\.csv' lacks n"):
        list(large_table(str(tmp_path / "*.csv")).pieces())


@given(st.lists(st.text(alphabet='ab",\n', max_size=5), min_size=1, max_size=30), st.integers(1, 40))
def test_a_text_is_never_cut_inside_a_quote(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], size: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "rows.csv"
    frame = pl.DataFrame({"a": cells, "b": cells})
    frame.write_csv(path, quote_style="always")
    parts = [data for _, data in pieces(path, None, quoted=True, size=max(size, len(path.read_bytes()) // 8 + 1))]
    assert b"".join(parts) == path.read_bytes()
    assert all(part.count(b'"') % 2 == 0 for part in parts)
    assert all(part.endswith(b"\n") for part in parts)


def test_a_line_end_before_which_a_quote_is_open_ends_no_row() -> None:
    assert last_end(b'1,"a\nb\n') == 0
    assert last_end(b'1,a\n2,"b\n\n') == 4


def test_a_quote_that_is_never_closed_is_complained_of(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + '1,"x\n' + "2,y\n" * 400)
    with pytest.raises(DataError, match="never closed"):
        list(pieces(tmp_path / "a.csv", None, quoted=True, size=100))


def test_a_packed_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(rows().write_csv().encode())
    (tmp_path / "a.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="only half there"):
        list(large_table(tmp_path / "a.csv.gz").pieces())


def test_letters_are_decoded_piece_by_piece_and_another_encoding_later_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\nä,ö\n".encode("latin-1") * 40)
    parts = list(pieces(path, None, quoted=True, size=50))
    assert len(parts) > 3
    assert b"".join(data for _, data in parts).decode() == "a,b\nä,ö\n" * 40
    path.write_bytes(b"a,b\n1,2\n" * 40 + "ä,1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"from line 7\d on, is not written in 'utf-8'.*give its `encoding`"):
        list(pieces(path, None, quoted=True, size=50))


def test_a_row_with_too_many_fields_is_found_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_pieces, "PIECE", 40)
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 40 + "1,2,3\n" + "1,2\n" * 5)
    with pytest.raises(DataError, match=r"line \d+: 2 fields are expected, got 3.*lines counted from line"):
        list(large_table(tmp_path / "a.csv").pieces())


def test_a_key_that_comes_late_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_pieces, "PIECE", 40)
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' * 20 + '{"a": 1, "b": 2}\n')
    with pytest.raises(DataError, match="has the key 'b', which no earlier row has"):
        list(large_table(tmp_path / "a.jsonl").pieces())


def test_what_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "a.json").write_text('[{"a": 1}]')
    for name, what in (("a.npz", "npz"), ("a.json", "one JSON list")):
        with pytest.raises(DataError, match=rf"\({what}\) cannot be read piece by piece"):
            large_table(tmp_path / name)
    rows(20).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read as parquet"):
        large_table(tmp_path / "a.parquet")


def test_the_fingerprint_knows_another_file_and_another_way_of_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows(20).write_csv(path)
    first = large_table(path).fingerprint()
    assert large_table(path).fingerprint() == first
    assert large_table(path, ReadSettings(missing=("w1",))).fingerprint() != first
    path.write_text(path.read_text().replace("w1", "w2"))
    assert large_table(path).fingerprint() != first


@pytest.mark.parametrize(
    ("cells", "manner", "values"),
    [
        (["1.5", "-2", "3e2"], "plain", [1.5, -2.0, 300.0]),
        (["1,5", "2.000,25", "3"], "comma", [1.5, 2000.25, 3.0]),
        (["1,500", "2,000,000.5", "3"], "thousands", [1500.0, 2000000.5, 3.0]),
    ],
)
def test_numbers_in_words_are_read_as_the_sample_shows(cells: list[str], manner: str, values: list[float]) -> None:
    frame = pl.DataFrame({"x": cells})
    found, _ = manners(frame, None, comma_free=False)
    assert found == {"x": manner}
    assert numbered(frame, found)["x"].to_list() == values


def test_a_column_that_holds_a_word_later_stays_words_there(tmp_path: Path) -> None:
    assert numbered(pl.DataFrame({"x": ["1", "none"]}), {"x": "plain"})["x"].to_list() == ["1", "none"]


def test_notes_that_differ_in_figures_only_are_one() -> None:
    notes = Notes()
    notes.add(["3 empty lines", "column 'a': odd"])
    notes.add(["5 empty lines"])
    assert notes.lines() == [
        "3 empty lines (said of 2 parts of the table; the figures are those of the first)",
        "column 'a': odd",
    ]
