"""Mistakes in `augment:`: answered like all the others."""

from __future__ import annotations

from test_mistakes import Mistake, answered


def augment(words: str) -> dict[str, str]:
    """The edit that puts an augmentation in the place of the last line."""
    return {"seed: 0": "augment: {" + words + "}"}


MISTAKES = [
    Mistake("a flip without an input", augment("flip: horizontal"), at="13:17", path="augment.flip", says=("expected a mapping",)),
    Mistake("a table that is flipped", augment("numbers: {flip: horizontal}"), at="13", path="augment.numbers", says=("are for pictures", "kind 'number'")),
    Mistake("an input that is not there", augment("nubers: {crop: 4}"), at="13", path="augment.nubers", says=("did you mean 'numbers'?",)),
    Mistake("a share in per cent", augment("numbers: {erase: 20}"), at="13:28", path="augment.numbers.erase", says=("from 0 to 1, got 20",)),
    Mistake("a key of augmentation", augment("numbers: {colours: {}}"), at="13:21", path="augment.numbers.colours", says=("did you mean 'colour'?",)),
    Mistake("lost tokens of a table", augment("numbers: {token_dropout: 0.1}"), at="13", path="augment.numbers", says=("texts as tokens",)),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
