"""Mistakes in configs and tables that are read piece by piece: answered like all the others."""

from __future__ import annotations

from test_mistakes import Mistake, answered, keep, put

PATH = "path: census.csv"


def data(*lines: str) -> dict[str, str]:
    """The edit that adds lines below `data:`, from line 3 of the file on."""
    return {PATH: "\n  ".join([PATH, *lines])}


STREAM = data("stream: true")

MISTAKES = [
    Mistake("a word for streaming", data("stream: sometimes"), at="3:11", path="data.stream", says=("'auto'", "sometimes")),
    Mistake("repeated rows dropped", data("stream: true", "drop_duplicates: true"), at="4", path="data.drop_duplicates", says=("all rows", "data.stream")),
    Mistake("rows with missing cells dropped", data("stream: true", "impute: {name: drop}"), at="4", path="data.impute", says=("all are in memory", "data.stream")),
    Mistake("words in a column of numbers", data("stream: true", "kinds: {hours: number}"), cells=put("hours", 7, "many"), at="2:9", path="data.path", says=("'hours', row", "'many'", "data.missing")),
    Mistake("three classes in a binary target", STREAM, cells=put("income", 5, "middle"), at="7", path="tasks.income", says=("middle", "multiclass")),
    Mistake("a target that is no column", STREAM | {"column: income": "column: incom"}, at="7", path="tasks.income", says=("did you mean 'income'?",)),
    Mistake("five rows", STREAM, cells=keep(5), at="2:9", path="data.path", says=("at least 10 rows", "got 5")),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
