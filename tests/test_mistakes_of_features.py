"""Mistakes in what a config says of categories, texts and dates, and tables that give a target away: answered like all the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from test_mistakes import Cells, Mistake, answered

PATH = "path: census.csv"


def data(line: str) -> dict[str, str]:
    """The edit that adds a line below `data:`, as line 3 of the file."""
    return {PATH: f"{PATH}\n  {line}"}


def beside(name: str, make: Callable[[Cells], list[object]]) -> Callable[[Cells], None]:
    """The edit that adds a column to the table."""
    return lambda cells: cells.__setitem__(name, make(cells))


def wages(cells: Cells) -> np.ndarray:
    return np.array(cells["wage"], dtype=np.float64)


def hours(cells: Cells) -> np.ndarray:
    return np.array(cells["hours"], dtype=np.float64)


def sorted_in_time(cells: Cells) -> None:
    """Rows in the order of their wages, one a day."""
    order = np.argsort(wages(cells), kind="stable")
    for name, values in list(cells.items()):
        cells[name] = [values[place] for place in order]
    cells["day"] = [f"2024-{1 + place // 28:02d}-{1 + place % 28:02d}" for place in range(120)]


MISTAKES = [
    Mistake("a way to encode categories", data("categories: {encoding: hsah}"), at="3:26", path="data.categories.encoding", says=("did you mean 'hash'?",)),
    Mistake("a key of categories", data("categories: {bukets: 8}"), at="3:16", path="data.categories.bukets", says=("did you mean 'buckets'?",)),
    Mistake("one bucket", data("categories: {encoding: hash, buckets: 1}"), at="3:41", path="data.categories.buckets", says=("at least 2", "got 1")),
    Mistake("a negative smoothing", data("categories: {encoding: target, smoothing: -1}"), at="3:45", path="data.categories.smoothing", says=("at least 0", "-1")),
    Mistake("one fold", data("categories: {encoding: target, folds: 1}"), at="3:41", path="data.categories.folds", says=("see its own target",)),
    Mistake("rare beside categories", data("rare: 3"), at="3:3", path="data.rare", says=("belongs to 'data.categories.rare'",)),
    Mistake("categories as a word", data("categories: hash"), at="3:15", path="data.categories", says=("expected a mapping with keys such as encoding",)),
    Mistake("a way to read texts", data("text: {analyzer: words}"), at="3:20", path="data.text.analyzer", says=("did you mean 'word'?",)),
    Mistake("falling n-grams", data("text: {ngrams: [2, 1]}"), at="3:18", path="data.text.ngrams", says=("rising", "[1, 2]")),
    Mistake("no words", data("text: {features: 0}"), at="3:20", path="data.text.features", says=("at least 1 is expected, got 0",)),
    Mistake("a part of dates", data("dates: {parts: [month, weekdays]}"), at="3:26", path="data.dates.parts[1]", says=("did you mean 'weekday'?",)),
    Mistake("a time zone", data("dates: {zone: Europe/Berln}"), at="3:17", path="data.dates.zone", says=("did you mean 'Europe/Berlin'?",)),
    Mistake("a way to encode one column", data("per_column: {city: {categories: {encoding: traget}}}"), at="3:46", path="data.per_column.city.categories.encoding", says=("did you mean 'target'?",)),
    # ------------------------------------------------------------------------------------ said, and trained all the same
    Mistake("e-mail addresses", cells=beside("contact", lambda cells: [f"p{place}@example.org" for place in range(120)]), code=0, says=("contact", "identifiers")),
    Mistake("two inputs that add up to a target", cells=beside("rest", lambda cells: (wages(cells) - hours(cells)).round(2).tolist()), code=0, says=("'hours' and 'rest' together give the target 'wage'",)),
    Mistake("the next row's target", cells=beside("next", lambda cells: [*cells["wage"][1:], None]), code=0, says=("column 'next' is the target 'wage' of task 'wage' one row later", "'-next'")),
    Mistake("the column to split by among the inputs", {"method: stratified": "method: group, by: city", '["*"]': "[age, hours, city]"}, at="4:22", path="inputs", says=("'city' is for the split or a weight", "take it out")),
    Mistake("patients in every split", cells=beside("patient", lambda cells: [place // 8 for place in range(120)]), code=0, says=("'patient' names 15 groups", "{method: group, by: patient}")),
    Mistake("rows that lie in time", cells=sorted_in_time, code=0, says=("alike in rows that follow each other in time", "{method: time, by: day}")),
    Mistake("statistics of targets", data("categories: {encoding: target}"), code=0, says=("city",)),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
