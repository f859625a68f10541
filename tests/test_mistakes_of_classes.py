"""Mistakes with the settings of class targets, through the command line; how they are asked and judged stands in `test_mistakes`."""

from __future__ import annotations

from test_mistakes import Mistake, answered, put

# fmt: off
MISTAKES = (
    Mistake("an aim with a fixed threshold", {"kind: binary}": "kind: binary, tune_for: f1}"}, path="tasks.income.tune_for", says=("write threshold: tuned",)),
    Mistake("an aim", {"kind: binary}": "kind: binary, threshold: tuned, tune_for: f1_score}"}, path="tasks.income.tune_for", says=("'f1'", "'balanced_accuracy'")),
    Mistake("a cost", {"kind: binary}": "kind: binary, threshold: tuned, tune_for: {false_positives: 1, false_negative: 2}}"}, path="tasks.income.tune_for", says=("did you mean 'false_positive'?",)),
    Mistake("a threshold as another word", {"kind: binary}": "kind: binary, threshold: best}"}, path="tasks.income.threshold", says=("'tuned'",)),
    Mistake("a calibration", {"kind: binary}": "kind: binary, calibrate: plat}"}, path="tasks.income.calibrate", says=("did you mean 'platt'?",)),
    Mistake("a binary calibration of several classes", {"kind: multiclass}": "kind: multiclass, calibrate: isotonic}"}, path="tasks.grade.calibrate", says=("'temperature'",)),
    Mistake("focusing without the focal loss", {"kind: binary}": "kind: binary, gamma: 2.0}"}, path="tasks.income.gamma", says=("gamma is read by the loss focal",)),
    Mistake("smoothing of a focal loss", {"kind: binary}": "kind: binary, loss: focal, smoothing: 0.1}"}, path="tasks.income.smoothing", says=("smoothing is read by the loss cross_entropy",)),
    Mistake("smoothing as a percentage", {"kind: binary}": "kind: binary, smoothing: 10}"}, path="tasks.income.smoothing", says=("below 1",)),
    Mistake("class weights for a label that is not there", {"kind: binary}": "kind: binary, class_weights: {hihg: 3}}"}, path="tasks.income", says=("did you mean 'high'?",)),
    Mistake("class weights as another word", {"kind: binary}": "kind: binary, class_weights: even}"}, path="tasks.income.class_weights", says=("'balanced'",)),
    Mistake("a weight column that is not there", {"kind: binary}": "kind: binary, weight_column: hourss}"}, path="tasks.income.weight_column", says=("did you mean 'hours'?",)),
    Mistake("a weight column that is an input", {"kind: binary}": "kind: binary, weight_column: hours}", 'inputs: ["*"]': "inputs: [age, hours]"}, path="inputs", says=("hours",)),
    Mistake("a negative weight of a task", {"kind: binary}": "kind: binary, weight_column: hours}"}, cells=put("hours", 4, -1.0), path="tasks.income", says=("row 5", "negative")),
    Mistake("a parent that is not there", {"grade: {kind: multiclass}": "grade: {kind: conditional, given: incme, positive: a}"}, path="tasks.grade.given", says=("did you mean 'income'?",)),
    Mistake("a parent that is a number", {"grade: {kind: multiclass}": "grade: {kind: conditional, given: wage, positive: a}"}, path="tasks.grade.given", says=("of kind 'regression'",)),
    Mistake("no parent", {"grade: {kind: multiclass}": "grade: {kind: conditional, positive: a}"}, path="tasks.grade", says=("given",)),
    Mistake("a task given itself", {"grade: {kind: multiclass}": "grade: {kind: conditional, given: grade, positive: a}"}, path="tasks.grade.given", says=("circle",)),
    Mistake("tasks given each other", {"grade: {kind: multiclass}": "grade: {kind: conditional, given: income, positive: a}", "column: income, kind: binary": "column: income, kind: conditional, given: grade"}, path="tasks.", says=("circle",)),
    Mistake("calibration of a conditional task", {"grade: {kind: multiclass}": "grade: {kind: conditional, given: income, positive: a, calibrate: platt}"}, path="tasks.grade.calibrate", says=("calibrate",)),
)
# fmt: on


test_a_mistake_is_answered = answered(MISTAKES)
