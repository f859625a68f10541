"""Reading: whatever way a table is written, the same cells come out; oddities are said; a broken file is refused."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pandas
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cotrain.core.errors import DataError
from cotrain.data.read import read_given, read_table
from cotrain.data.settings import ReadSettings

CSV = "age,city,pay\n31,Rom,1.5\n45,Oslo,2.5\n?,Bari,\n"
CELLS = {"age": [31, 45, None], "city": ["Rom", "Oslo", "Bari"], "pay": [1.5, 2.5, None]}


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", CSV.encode()),
        ("t.tsv", CSV.replace(",", "\t").encode()),
        ("t.csv", CSV.replace(",", ";").encode()),
        ("t.txt", CSV.replace(",", "|").encode()),
        ("t.csv", CSV.replace("\n", "\r\n").encode()),
        ("t.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("t.csv", CSV.encode("utf-16")),
        ("t.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("packed_without_saying.csv", gzip.compress(CSV.encode(), mtime=0)),
        ("t.csv", ("# " + CSV).encode()),
        ("t.csv", CSV.replace("31,Rom,1.5", ' 31, "Rom" ,1.5 ').replace(' "Rom" ', "  Rom ").encode()),
        ("t.csv", CSV.replace(",", ";").replace("1.5", "1,5").replace("2.5", "2,5").encode()),
        ("t.csv", (CSV + "\n\n").encode()),
        ("t.csv", CSV.rstrip("\n").encode()),
    ],
)
def test_every_way_of_writing_gives_the_same_cells(tmp_path: Path, name: str, content: bytes) -> None:
    assert read_table(write(tmp_path / name, content)).frame.to_dict(as_series=False) == CELLS


def test_every_kind_of_file_gives_the_same_cells(tmp_path: Path) -> None:
    frame = pl.DataFrame(CELLS)
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_ipc(tmp_path / "t.arrow")
    frame.write_ipc(tmp_path / "t.feather", compression="lz4")
    frame.write_ndjson(tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress((tmp_path / "t.jsonl").read_bytes()))
    for path in sorted(tmp_path.iterdir()):
        assert read_table(path).frame.to_dict(as_series=False) == CELLS, path.name


def test_numpy_archives_and_arrays_are_tables(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.arange(6.0).reshape(3, 2), y=np.array(["a", "b", "a"]))
    assert read_table(tmp_path / "t.npz").frame.columns == ["x_0", "x_1", "y"]
    assert read_table(np.arange(4).reshape(2, 2)).frame.to_dict(as_series=False) == {"x0": [0, 2], "x1": [1, 3]}
    named = np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i8"), ("b", "f8")])
    assert read_table(named).frame.to_dict(as_series=False) == {"a": [1, 3], "b": [2.0, 4.0]}
    with pytest.raises(DataError, match="two axes"):
        read_table(np.arange(3))


def test_pandas_frames_keep_their_cells_and_say_that_the_index_goes() -> None:
    frame = pandas.DataFrame(
        {
            "a": [1, None, 3],
            "b": ["x", None, " y"],
            "c": pandas.Categorical(["u", "v", "u"]),
            "d": pandas.to_datetime(["2020-01-01", None, "2021-01-01"]),
            "e": pandas.array([1, None, 2], dtype="Int64"),
        },
        index=[3, 4, 5],
    )
    table = read_table(frame)
    cells = table.frame.to_dict(as_series=False)
    assert cells["a"] == [1.0, None, 3.0]
    assert cells["b"] == ["x", None, "y"]
    assert cells["c"] == ["u", "v", "u"]
    assert cells["d"][1] is None
    assert cells["d"][2].year == 2021
    assert cells["e"] == [1, None, 2]
    assert any("index" in note for note in table.notes)


def test_a_dict_of_columns_of_unequal_length_names_both() -> None:
    with pytest.raises(DataError, match=r"3 rows in 'a' and 2 in 'b'"):
        read_table({"a": [1, 2, 3], "b": [1, 2]})
    with pytest.raises(DataError, match="got int"):
        read_table(3)


def test_an_unnamed_index_does_not_shift_the_header(tmp_path: Path) -> None:
    shifted = read_table(write(tmp_path / "a.csv", '"x","y"\n"1",5,6\n"2",7,8\n"3",9,1\n'))
    assert shifted.frame.columns == ["(index)", "x", "y"]
    assert shifted.frame["x"].to_list() == [5, 7, 9]
    assert "one field more" in shifted.notes[0]
    named = read_table(write(tmp_path / "b.csv", ",x\n0,5\n1,6\n"))
    assert named.frame.columns == ["(index)", "x"]


def test_a_name_that_comes_twice_is_made_different_and_said(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", "x,x,y,x_2\n1,2,3,4\n"))
    assert table.frame.columns == ["x", "x_3", "y", "x_2"]
    assert "comes twice" in table.notes[0]


def test_a_file_without_a_header_says_so_and_takes_given_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1,Rom\n2,Oslo\n")
    bare = read_table(path)
    assert bare.frame.columns == ["column_1", "column_2"]
    assert "taken as data" in bare.notes[0]
    names = write(tmp_path / "names.txt", "age\ncity\n")
    for columns in (("age", "city"), str(names)):
        assert read_table(path, ReadSettings(columns=columns)).frame.to_dict(as_series=False) == {
            "age": [1, 2],
            "city": ["Rom", "Oslo"],
        }
    with pytest.raises(DataError, match="gives 1 names, but the rows"):
        read_table(path, ReadSettings(columns=("age",)))
    with pytest.raises(DataError, match="no file"):
        read_table(path, ReadSettings(columns="nowhere.txt"))
    kept = read_table(path, ReadSettings(header=True))
    assert kept.frame.columns == ["1", "Rom"]


def test_names_that_are_years_are_still_a_header(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "a.csv", "2019,2020\n1.5,2.5\n3.5,1.0\n")).frame.columns == ["2019", "2020"]


def test_columns_separated_by_several_blanks_are_read(tmp_path: Path) -> None:
    table = read_table(
        write(tmp_path / "a.txt", "#  1:Day 2:Time  3:Heat\r\n1/2/2012 11:45  18.1\r\n1/2/2012   12:00 19.5 \r\n")
    )
    assert table.frame.columns == ["Day", "Time", "Heat"]
    assert table.frame["Heat"].to_list() == [18.1, 19.5]


def test_latin_letters_come_out_right(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", "Straße,Größe\nKöln,1\nMünchen,2\n".encode("latin-1")))
    assert table.frame["Straße"].to_list() == ["Köln", "München"]
    assert "encoding" in table.notes[0]
    with pytest.raises(DataError, match="not written in 'ascii'"):
        read_table(tmp_path / "a.csv", ReadSettings(encoding="ascii"))


def test_decimal_commas_and_thousands_are_told_apart(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", 'a;b;c\n1.234,5;1,5;7\n2,25;"3";8\n'))
    assert table.frame.to_dict(as_series=False) == {"a": [1234.5, 2.25], "b": [1.5, 3.0], "c": [7, 8]}
    assert sum("decimal commas" in note for note in table.notes) == 2
    grouped = read_table(write(tmp_path / "b.csv", 'a,b\n"1,234",x\n"2,000,000.5",y\n'))
    assert grouped.frame["a"].to_list() == [1234.0, 2000000.5]
    assert any("thousands" in note for note in grouped.notes)
    either = write(tmp_path / "c.csv", 'a,b\n"1,234",x\n"2,345",y\n')
    assert read_table(either).frame["a"].to_list() == [1234, 2345]
    assert read_table(either, ReadSettings(decimal=",")).frame["a"].to_list() == [1.234, 2.345]


def test_postcodes_stay_words(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "a.csv", "zip,n\n01067,1\n80331,2\n")).frame["zip"].to_list() == [
        "01067",
        "80331",
    ]


def test_words_for_missing_can_be_added_and_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "country,x\nNA,-\nDE,2\nNone,3\n")
    plain = read_table(path)
    assert plain.frame.to_dict(as_series=False) == {"country": [None, "DE", None], "x": ["-", "2", "3"]}
    told = read_table(path, ReadSettings(missing=("-",), keep=("NA",)))
    assert told.frame.to_dict(as_series=False) == {"country": ["NA", "DE", None], "x": [None, 2, 3]}
    assert {(step.column, step.count, step.detail) for step in told.steps} == {
        ("country", 1, "'None'"),
        ("x", 1, "'-'"),
    }


def test_several_files_are_one_table_if_their_columns_agree(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n1,a\n")
    write(tmp_path / "b.csv", "y,x\nb,2.5\n")
    table = read_table(str(tmp_path / "*.csv"))
    assert table.frame.to_dict(as_series=False) == {"x": [1.0, 2.5], "y": ["a", "b"]}
    assert [rows for _, rows in table.files] == [1, 1]
    assert read_table([tmp_path / "b.csv", tmp_path / "a.csv"]).frame["y"].to_list() == ["b", "a"]
    write(tmp_path / "c.csv", "x,z\n1,2\n")
    with pytest.raises(DataError, match=r"c\.csv' lacks y and has also z"):
        read_table(str(tmp_path / "*.csv"))


def test_files_given_split_by_split_keep_their_parts(tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.csv", "x\n1\n2\n"), write(tmp_path / "b.csv", "x\n3\n")
    table = read_given({"train": train, "test": test})
    assert table.frame["x"].to_list() == [1, 2, 3]
    assert dict(table.parts) == {"train": 2, "test": 1}
    with pytest.raises(DataError, match="train"):
        read_given({"test": test})


def test_a_path_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "census.csv", CSV)
    with pytest.raises(DataError, match=r"did you mean '.*census\.csv'"):
        read_table(tmp_path / "cencus.csv")
    with pytest.raises(DataError, match="no file matches"):
        read_table(str(tmp_path / "*.parquet"))
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        read_table(tmp_path / "nowhere" / "a.csv")


@pytest.mark.parametrize("kind", ["csv.gz", "parquet", "arrow", "npz", "jsonl"])
def test_a_half_written_file_is_never_taken_for_a_whole_one(tmp_path: Path, kind: str) -> None:
    frame = pl.DataFrame({"x": np.random.default_rng(0).normal(size=500), "y": [f"word {n}" for n in range(500)]})
    whole = io.BytesIO()
    if kind == "csv.gz":
        whole.write(gzip.compress(frame.write_csv().encode()))
    elif kind == "npz":
        np.savez(whole, x=frame["x"].to_numpy())
    elif kind == "jsonl":
        frame.write_ndjson(whole)
    else:
        getattr(frame, {"parquet": "write_parquet", "arrow": "write_ipc"}[kind])(whole)
    data = whole.getvalue()
    for share in (0.2, 0.5, 0.9, 0.999):
        path = write(tmp_path / f"t.{kind}", data[: int(len(data) * share)])
        with pytest.raises(DataError, match=r"t\..*(half|damaged)"):
            read_table(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b,c\n1,2,3\n4,5", "line 3.*half written"),
        ("a,b,c\n1,2,3\n4,5\n6,7,8\n", "line 3.*3 fields are expected, got 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3.*2 fields are expected, got 3"),
        ('a,b\n1,"x\ny"\n2,"opened', "line 4.*never closed"),
        ('a,b\n1,"x"\n2,3,"z"\n', "line 3"),
        ("", "is empty"),
        ("a,b\n1,\x00\n", "zero bytes"),
    ],
)
def test_a_broken_text_table_names_the_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_table(write(tmp_path / "t.csv", text))


def test_a_header_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", "x,y\n"))
    assert table.frame.columns == ["x", "y"]
    assert len(table) == 0


def test_the_digest_follows_the_bytes_and_the_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", CSV)
    first = read_table(path).digest()
    assert read_table(path).digest() == first
    assert read_table(path, ReadSettings(missing=("-",))).digest() != first
    write(path, CSV.replace("31", "32"))
    assert read_table(path).digest() != first
    assert read_table({"x": [1]}).digest() is None


WORD = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")),
    max_size=6,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(
        st.tuples(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), WORD), min_size=2, max_size=12
    ),
    separator=st.sampled_from([",", ";", "\t"]),
)
def test_what_polars_writes_is_read_back(tmp_path: Path, cells: list[tuple[float | None, str]], separator: str) -> None:
    frame = pl.DataFrame(
        {"x": [x for x, _ in cells], "word": [f"w{word}" for _, word in cells], "n": list(range(len(cells)))},
        schema={"x": pl.Float64, "word": pl.String, "n": pl.Int64},
    )
    path = tmp_path / "t.csv"
    frame.write_csv(path, separator=separator, quote_style="non_numeric")
    read = read_table(path).frame
    assert read.columns == ["x", "word", "n"]
    assert read["n"].to_list() == frame["n"].to_list()
    assert read["word"].to_list() == [word.strip() for word in frame["word"].to_list()]
    assert read["x"].cast(pl.Float64).to_list() == frame["x"].to_list()


def test_a_json_array_is_a_table_and_a_spreadsheet_is_named(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "a.json", ' [{"x": 1, "y": "a"}, {"x": null, "y": "b"}]')).frame[
        "x"
    ].to_list() == [1, None]
    with pytest.raises(DataError, match=r"spreadsheet.*save it as csv"):
        read_table(write(tmp_path / "a.xlsx", b"PK\x03\x04"))


def test_quotes_after_a_blank_and_lone_quotes_inside_words_are_read(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", 'n,where,size\n1, "Rom, Italy",5"6\n2, "Oslo",7"8\n'))
    assert table.frame.to_dict(as_series=False) == {
        "n": [1, 2],
        "where": ["Rom, Italy", "Oslo"],
        "size": ['5"6', '7"8'],
    }


def test_empty_last_cells_beside_quoted_ones_are_no_fault(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "a.csv", 'a,b\n"x,y",\nz,1\n')).frame.to_dict(as_series=False) == {
        "a": ["x,y", "z"],
        "b": [None, 1],
    }
    with pytest.raises(DataError, match="line 3: 2 fields are expected, got 1"):
        read_table(write(tmp_path / "b.csv", 'a,b\n"x,y",\nz\nw,1\n'))


def test_given_files_whose_columns_are_typed_differently_go_together(tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.csv", "x,y,z\n1,1,\n2,2,\n"), write(tmp_path / "b.csv", "x,y,z\nold,2.5,7\n")
    frame = read_given({"train": train, "test": test}).frame
    assert frame.to_dict(as_series=False) == {"x": ["1", "2", "old"], "y": [1.0, 2.0, 2.5], "z": [None, None, 7]}


def test_a_table_partly_from_memory_has_no_digest(tmp_path: Path) -> None:
    test = write(tmp_path / "b.csv", "x\n1\n")
    assert read_given({"train": {"x": [1, 2]}, "test": test}).digest() is None
    assert read_given({"train": test, "test": test}).digest() is not None


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("who,2019,2020\na,1.5,2\nb,2.5,3\n", False),
        ("n,2019,2020\n1,1.5,2\n2,2.5,3\n", True),
        ("2019,2020\n1,2\n", False),
        ("a,b\nx,y\n", True),
        ("?,3\n1,4\n2,5\n", False),
        ("name,age\n?,3\n", True),
    ],
)
def test_a_word_above_numbers_makes_a_header(tmp_path: Path, text: str, header: bool) -> None:
    table = read_table(write(tmp_path / "t.csv", text))
    assert (table.frame.columns[0] != "column_1") == header
