"""Mistakes in what tasks read, and how inputs are fused: answered like all the others."""

from __future__ import annotations

from test_mistakes import Mistake, answered

NAMED = "inputs: {person: {columns: [age, city], encoder: mlp}, job: {columns: [hours]}}"


def inputs(words: str = NAMED, **tasks: str) -> dict[str, str]:
    """The edit that names inputs in line 4, and gives tasks more settings: income stands in line 6, grade in 7, wage in 8."""
    old = {
        "income": "income: {column: income, kind: binary}",
        "grade": "grade: {kind: multiclass}",
        "wage": "wage: regression",
    }
    return {'inputs: ["*"]': words} | {old[name]: f"{name}: {{{line}}}" for name, line in tasks.items()}


MISTAKES = [
    Mistake("an input that is none", inputs(wage="kind: regression, inputs: [persn]"), at="8:37", path="tasks.wage.inputs[0]", says=("unknown input 'persn'", "did you mean 'person'?")),
    Mistake("inputs of a task where none has a name", inputs('inputs: ["*"]', wage="kind: regression, inputs: [age]"), at="8:37", path="tasks.wage.inputs[0]", says=("the config names no inputs", "write for example")),
    Mistake("no input at all", inputs(wage="kind: regression, inputs: []"), at="8:36", path="tasks.wage.inputs", says=("empty list", "leave it out")),
    Mistake("an input no task reads", inputs(income="kind: binary, inputs: person", grade="kind: multiclass, inputs: person", wage="kind: regression, inputs: person"), at="4:56", path="inputs.job", says=("no task does", "take 'job' out")),
    Mistake("a way to fuse", {**inputs(), "seed: 0": "fusion: gated"}, at="13:9", path="fusion", says=("did you mean 'gate'?",)),
    Mistake("too much left out", {**inputs(), "seed: 0": "fusion: {dropout: 1}"}, at="13:19", path="fusion.dropout", says=("must lie in [0, 1)",)),
    Mistake("an encoder of pictures for columns", inputs('inputs: {person: {columns: [age, city], encoder: convnet}, job: [hours]}'), at="4:50", path="inputs.person.encoder", says=("encoder 'convnet'", "person.numbers")),
    Mistake("stages that make no vector", {**inputs(), "encoder: {name: mlp, widths: [8, 8], dropout: 0.1}": "encoder: ft_transformer"}, at="9:10", path="encoder", says=("shared stages on the fused vector",)),
    Mistake("a cascade between tasks that read other inputs", {**inputs(wage="kind: regression, inputs: person"), "name: mmoe, experts: 2": "name: cascade, feeds: {wage: [income]}"}, at="10:26", path="sharing.feeds", says=("told about 'income'", "they read other inputs")),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
