"""What names a row is no input; what only looks a little like it stays one, and a person has the last word."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import numpy as np
import polars as pl
import pytest

from cotrain.data.infer import infer

RANDOM = np.random.default_rng(0)
ROWS = 200


def digest(place: int) -> str:
    return hashlib.sha256(str(place).encode()).hexdigest()


def nearly(values: list[Any], twice: int) -> list[Any]:
    """The values with the first few of them met again at the end."""
    return [*values[: ROWS - twice], *values[:twice]]


IDENTIFIERS: dict[str, tuple[str, list[Any]]] = {
    "UUIDs": ("x", [str(uuid.UUID(int=int(one))) for one in RANDOM.integers(0, 2**60, ROWS)]),
    "UUIDs of a few rows each": ("x", [str(uuid.UUID(int=place // 4)) for place in range(ROWS)]),
    "hashes": ("x", [digest(place) for place in range(ROWS)]),
    "short hashes": ("x", [digest(place)[:16] for place in range(ROWS)]),
    "e-mail addresses": ("contact", [f"someone{place // 2}@example.org" for place in range(ROWS)]),
    "web addresses": ("x", [f"https://example.org/{place}" for place in range(ROWS)]),
    "letters and a number": ("ticket", [f"ID{place:05d}" for place in RANDOM.permutation(ROWS)]),
    "letters and a number in 30 rows": ("x", [f"PAT-{place:03d}" for place in range(30)]),
    "repeated letters and a number": ("patient id", [f"P{place // 3:03d}" for place in range(ROWS)]),
    "nearly unique words": ("name", nearly([f"{digest(place)[:5]} smith" for place in range(ROWS)], 6)),
    "nearly unique words in a few rows": ("name", [*(f"{one} jones" for one in "abcdefghijklmnopqrstuvwxyzäöüßêéèàáûúùøåæœçñ"), "a jones"]),
    "floats that count": ("x", [float(place) for place in range(1, ROWS + 1)]),
    "floats that count, one missing": ("x", [None, *(float(place) for place in range(1, ROWS))]),
    "a count by ten": ("x", list(range(0, 10 * ROWS, 10))),
    "an index as floats": ("Unnamed: 0", [float(one) for one in RANDOM.permutation(ROWS)]),
    "an id as floats": ("customer_id", [float(one) for one in RANDOM.choice(10_000, ROWS, replace=False)]),
    "an id in camel case": ("orderID", RANDOM.choice(10_000, ROWS, replace=False).tolist()),
}  # fmt: skip


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_an_identifier_is_found_and_the_reason_said(name: str) -> None:
    column, values = IDENTIFIERS[name]
    found = infer(pl.DataFrame({column: values}))[column]
    assert found.kind == "identifier", found.why
    assert found.why


HONEST: dict[str, tuple[str, list[Any], str]] = {
    "numbers": ("x", RANDOM.normal(size=ROWS).tolist(), "number"),
    "whole numbers that jump": ("income", np.sort(RANDOM.choice(10**6, ROWS, replace=False)).tolist(), "number"),
    "wards": ("ward", [f"ward{place % 12:02d}" for place in range(ROWS)], "category"),
    "codes of a few": ("code", [f"C{place % 40:03d}" for place in range(ROWS)], "category"),
    "the same few addresses": ("shop", [f"shop{place % 5}@example.org" for place in range(ROWS)], "category"),
    "ten rows of words": ("x", [f"w{place}" for place in range(10)], "category"),
    "a count of links": ("n_urls", RANDOM.integers(0, 40, ROWS).tolist(), "number"),
    "time stamps": ("timestamp", [1_600_000_000 + 3600 * place for place in range(ROWS)], "date"),
    "time stamps in milliseconds": ("unix", [1_600_000_000_000.0 + 60_000 * place for place in range(ROWS)], "date"),
    "sentences in Chinese": ("x", [f"房间很干净，服务也很好，第{place}次" for place in range(ROWS)], "text"),
    "towns in Chinese": ("x", ["北京", "上海", "广州", "深圳"] * (ROWS // 4), "category"),
    "sentences": ("x", [f"it was the {place} th time that we came here" for place in range(ROWS)], "text"),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_column_stays_an_input(name: str) -> None:
    column, values, kind = HONEST[name]
    assert infer(pl.DataFrame({column: values}))[column].kind == kind


@pytest.mark.parametrize("name", ["UUIDs", "letters and a number", "floats that count"])
def test_a_person_has_the_last_word(name: str) -> None:
    column, values = IDENTIFIERS[name]
    assert infer(pl.DataFrame({column: values}), {column: "category"})[column].kind == "category"


def test_a_date_said_of_time_stamps_finds_their_unit() -> None:
    frame = pl.DataFrame({"seen": [1_600_000_000, 1_700_000_000], "other": [1_600_000_000_000, 1_700_000_000_000]})
    found = infer(frame, {"seen": "date", "other": "date(epoch_ms)"})
    assert [column.form for column in found.values()] == ["epoch_s", "epoch_ms"]
