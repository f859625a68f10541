"""Mistakes in how tasks share: answered like all the others."""

from __future__ import annotations

from test_mistakes import Mistake, answered


def sharing(words: str) -> dict[str, str]:
    """The edit that puts another way of sharing in line 10 of the file."""
    return {"name: mmoe, experts: 2": words}


MISTAKES = [
    Mistake("more levels than the encoder has stages", sharing("name: ple, levels: 3"), at="10:30", path="sharing.levels", says=("2 stages", "at most 2 levels")),
    Mistake("a negative strength", sharing("name: soft_l2, strength: -1"), at="10:36", path="sharing.strength", says=("at least 0, got -1",)),
    Mistake("a tree with a task that is none", sharing("name: branched, groups: [[[income, wages], [grade]]]"), at="10:35", path="sharing.groups", says=("stage 0", "did you mean 'wage'?")),
    Mistake("a tree that leaves a task out", sharing("name: branched, groups: [[[income], [grade]]]"), at="10:35", path="sharing.groups", says=("'wage' is named 0 times",)),
    Mistake("a tree without brackets", sharing("name: branched, groups: [income, grade, wage]"), at="10:36", path="sharing.groups[0]", says=("expected a list",)),
    Mistake("groups by another word", sharing("name: branched, groups: automatic"), at="10:35", path="sharing.groups", says=("expected 'auto', or a list", "did you mean 'auto'?")),
    Mistake("groups that begin behind the last stage", sharing("name: branched, groups: auto, split: 2"), at="10:48", path="sharing.split", says=("has 2 stages to copy", "split in [-2, 1]")),
    Mistake("no tree", sharing("name: branched"), at="10:1", path="sharing.groups", says=("needs the setting 'groups'",)),
    Mistake("a cascade in a circle", sharing("name: cascade, feeds: {wage: [income], income: [wage]}"), at="10:26", path="sharing.feeds", says=("in a circle among income, wage",)),
    Mistake("a cascade from a task that is none", sharing("name: cascade, feeds: {wage: [incom]}"), at="10:26", path="sharing.feeds", says=("did you mean 'income'?",)),
    Mistake("a way to stitch", sharing("name: cross_stitch, per: chanel"), at="10:36", path="sharing.per", says=("did you mean 'channel'?",)),
    Mistake("more experts read than there are", sharing("name: dselect_k, experts: 2, k: 3"), at="10:43", path="sharing.k", says=("at most experts, 2, got 3",)),
    Mistake("another method's setting", sharing("name: cgc, experts: 8"), at="10:22", path="sharing.experts", says=("setting 'experts'", "shared")),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
