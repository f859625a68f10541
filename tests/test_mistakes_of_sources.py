"""Mistakes in a config with several sources: answered like all the others, with the line of the source they are in."""

from __future__ import annotations

from test_mistakes import Mistake, answered

DATA = "data:\n  path: census.csv\n  split: {method: stratified, fractions: [0.6, 0.2, 0.2]}\n"


def sources(first: str = "{path: census.csv}", second: str = "{path: census.csv}", **tasks: str) -> dict[str, str]:
    """The edit that puts two sources in lines 2 and 3; tasks stand in lines 6 to 8, `first` for two of them and `second` for one."""
    lines = {"income": "kind: binary, source: first", "grade": "kind: multiclass, source: second", "wage": "kind: regression, source: first"}  # fmt: skip
    old = {
        "income": "income: {column: income, kind: binary}",
        "grade": "grade: {kind: multiclass}",
        "wage": "wage: regression",
    }
    given = {name: f"{name}: {{{tasks.get(name, line)}}}" for name, line in lines.items()}
    return {DATA: f"sources:\n  first: {first}\n  second: {second}\n"} | {old[name]: given[name] for name in old}


MISTAKES = [
    Mistake("a source that is none", sources(wage="kind: regression, source: frist"), at="8:36", path="tasks.wage.source", says=("unknown source 'frist'", "did you mean 'first'?")),
    Mistake("a task without a source", sources(wage="kind: regression"), at="8:3", path="tasks.wage", says=("expected the source that holds its labels", "first, second", "`source: first`")),
    Mistake("a source where there is one table", {"wage: regression": "wage: {kind: regression, source: first}"}, at="8:36", path="tasks.wage.source", says=("one table only", "sources")),
    Mistake("a source no task has labels in", sources(grade="kind: multiclass, source: first"), at="3:3", path="sources.second", says=("no task does",)),
    Mistake("a path and sources", {**sources(), 'inputs: ["*"]': "data: {path: census.csv}"}, at="4:14", path="data.path", says=("either `data.path` or `sources`",)),
    Mistake("a source without a path", sources(second="{decimal: ','}"), at="3:3", path="sources.second.path", says=("expected the path of a table", "sources: {second: {path:")),
    Mistake("a file that is not there", sources(second="{path: cencus.csv}"), at="3:18", path="sources.second.path", says=("did you mean 'census.csv'?",)),
    Mistake("a key of data", sources(second="{path: census.csv, splitt: random}"), at="3:30", path="sources.second.splitt", says=("did you mean 'split'?",)),
    Mistake("a column to split by", sources(second="{path: census.csv, split: {method: group, by: agee}}"), at="3:57", path="sources.second.split.by", says=("no column 'agee'", "did you mean 'age'?")),
    Mistake("an input of another source", sources(second="{path: census.csv, inputs: {person: [age, city], job: [hours]}}", grade="kind: multiclass, source: second, inputs: [jobs]"), at="7:54", path="tasks.grade.inputs[0]", says=("unknown input 'jobs'", "did you mean 'job'?")),
    Mistake("an own input that no task reads", sources(second="{path: census.csv, inputs: {person: [age, city], job: [hours]}}", grade="kind: multiclass, source: second, inputs: [job]"), at="3:39", path="sources.second.inputs.person", says=("no task does",)),
    Mistake("a target among own inputs", sources(second="{path: census.csv, inputs: [age, grade]}"), at="3:44", path="sources.second.inputs[1]", says=("target of task 'grade'",)),
    Mistake("contradictory ways to encode", sources(second="{path: census.csv, scaling: robust}"), says=("share one encoder", "`scaling`", "under `data`")),
    Mistake("contradictory kinds", sources(second="{path: census.csv, kinds: {age: category}}"), says=("column 'age' is taken for number in source 'first' and for category in source 'second'",)),
    Mistake("a warm start", {**sources(), "train: {epochs: 1,": "train: {warm_start: runs/x, epochs: 1,"}, says=("runs/x",)),
    Mistake("gradients at features of different rows", {**sources(), "sharing: {name: mmoe, experts: 2}": "sharing: {name: branched, groups: auto}\naffinity: {at: features}"}, at="11:16", path="affinity.at", says=("several sources", "write parameters")),
    Mistake("an empty section", {DATA: "sources: {}\n"}, at="1:10", path="sources", says=("at least one source",)),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
