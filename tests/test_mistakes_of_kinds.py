"""Mistakes in targets that are counts, amounts, quantiles, ordered classes, label sets and survival times: answered like all the others."""

from __future__ import annotations

from test_mistakes import Mistake, answered, put

MISTAKES = [
    Mistake("an order that is not said", {"{kind: multiclass}": "{kind: ordinal}"}, at="7", path="tasks.grade", says=("the order of the labels is not known", "classes: [a, b, c]")),
    Mistake("one ordered class", {"{kind: multiclass}": "{kind: ordinal, classes: [a]}"}, at="7:35", path="tasks.grade.classes", says=("from the lowest to the highest",)),
    Mistake("a setting of an ordered class", {"{kind: multiclass}": "{kind: ordinal, clases: [a, b, c]}"}, at="7:26", path="tasks.grade.clases", says=("did you mean 'classes'?",)),
    Mistake("a count that is no whole number", {"wage: regression": "wage: count"}, at="8", path="tasks.wage", says=("whole numbers expected", "use kind: positive")),
    Mistake("an amount below zero", {"wage: regression": "wage: positive"}, cells=put("wage", 4, -3.5), at="8", path="tasks.wage", says=("row 5", "got -3.5")),
    Mistake("an exposure that is no column", {"wage: regression": "wage: {kind: positive}\n  age: {kind: count, exposure: yers}"}, at="9", path="tasks.age", says=("yers",)),
    Mistake("an exposure that is an input", {"wage: regression": "age: {kind: count, exposure: hours}", '["*"]': "[city, hours]"}, at="4:16", path="inputs", says=("'hours'", "take it out")),
    Mistake("dispersion of a Poisson count", {"wage: regression": "age: {kind: count, dispersion: 2.0}"}, at="8:34", path="tasks.age.dispersion", says=("negative_binomial",)),
    Mistake("a power beyond two", {"wage: regression": "wage: {kind: positive, power: 3.0}"}, at="8:33", path="tasks.wage.power", says=("between 1 and 2",)),
    Mistake("zeros among gamma amounts", {"wage: regression": "wage: {kind: positive, loss: gamma}"}, cells=put("wage", 4, 0), at="8", path="tasks.wage", says=("amounts above 0 expected", "loss: tweedie")),
    Mistake("levels that fall", {"wage: regression": "wage: {kind: quantile, levels: [0.9, 0.1]}"}, at="8:34", path="tasks.wage.levels", says=("rise",)),
    Mistake("a level in per cent", {"wage: regression": "wage: {kind: quantile, levels: [10, 50, 90]}"}, at="8:34", path="tasks.wage.levels", says=("between 0 and 1",)),
    Mistake("words without a separator", {"{kind: multiclass}": "{kind: multilabel, column: city}"}, at="7", path="tasks.grade", says=("should hold lists of labels", "separator")),
    Mistake("survival without an event", {"wage: regression": "wage: {kind: survival, time: hours}"}, at="8", path="tasks.wage", says=("survival needs two columns", "write time: and event:")),
    Mistake("a bare word survival", {"wage: regression": "wage: survival"}, at="8", path="tasks.wage", says=("survival needs two columns",)),
    Mistake("an event of three kinds", {"wage: regression": "life: {kind: survival, time: wage, event: city}"}, at="8", path="tasks.life", says=("expected two labels, yes and no", "positive:")),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
