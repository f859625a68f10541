"""Mistakes in what a config says of texts and their encoders: answered like all the others."""

from __future__ import annotations

from test_mistakes import Mistake, answered

PATH = "path: census.csv"


def data(line: str) -> dict[str, str]:
    """The edit that adds a line below `data:`, as line 3 of the file."""
    return {PATH: f"{PATH}\n  {line}"}


MISTAKES = [
    Mistake("a way to encode texts", data("text: {encoding: token}"), at="3:20", path="data.text.encoding", says=("did you mean 'tokens'?",)),
    Mistake("a tokenizer", data("text: {tokenizer: bpee}"), at="3:21", path="data.text.tokenizer", says=("did you mean 'bpe'?",)),
    Mistake("no length", data("text: {length: 0}"), at="3:18", path="data.text.length", says=("at least 1 is expected, got 0",)),
    Mistake("a vocabulary of nothing", data("text: {vocabulary: 2}"), at="3:22", path="data.text.vocabulary", says=("two codes are reserved",)),
    Mistake("half a pretrained tokenizer", data("text: {pretrained: bert-base-uncased}"), path="data.text.pretrained", says=("needs both words",)),
    Mistake("tokens of a bag", data("text: {encoding: bag, length: 9}"), path="data.text.length", says=("encoding 'bag' does not read it",)),
    Mistake("what becomes of broken texts", data("text: {broken: drop}"), at="3:18", path="data.text.broken", says=("'refuse', 'missing'",)),
    Mistake("an encoder of texts for a table", {"{name: mlp, widths: [8, 8], dropout: 0.1}": "text_conv"}, at="9:10", path="encoder", says=("reads texts as tokens", "'numbers'", "age, hours", "take these columns out")),
    Mistake("texts of one column as tokens for an encoder of tables", {**data("text: {encoding: tokens}"), '["*"]': '{about: {columns: [about], kind: text}}'}, cells=lambda cells: cells.__setitem__("about", ["a word or two"] * 120), path="encoder", says=("'about'", "data.text.encoding: bag")),
    Mistake("no width for two directions", {"{name: mlp, widths: [8, 8], dropout: 0.1}": "{name: text_gru, width: 7}"}, path="encoder.width", says=("must be even, got 7",)),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
