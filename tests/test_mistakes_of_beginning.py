"""Mistakes in what a training begins with and what of it stays frozen: answered like all the others."""

from __future__ import annotations

from test_mistakes import Mistake, answered


def train(words: str) -> dict[str, str]:
    """The edit that writes more settings of the training into line 12 of the file."""
    return {"early_stopping: {patience: 5}": words}


MISTAKES = [
    Mistake("a run that is not there", train("warm_start: runs/old"), at="12:85", path="train.warm_start", says=("expected the folder of a finished run", "there is no run folder")),
    Mistake("a folder that is no run", train("warm_start: ."), at="12:85", path="train.warm_start", says=("holds no finished run", "structure.json")),
    Mistake("a part that is none", train("freeze: [trunc]"), at="12:81", path="train.freeze", says=("did you mean 'trunk'?",)),
    Mistake("the head of a task that is none", train("freeze: [heads.incom]"), at="12:81", path="train.freeze", says=("did you mean 'heads.income'?",)),
    Mistake("everything frozen", train("freeze: [trunk, heads]"), at="12:81", path="train.freeze", says=("leaves nothing to train",)),
    Mistake("a word where a list belongs", train("freeze: trunk"), at="12:81", path="train.freeze", says=("expected a list", "[trunk]")),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
