"""Mistakes a person makes, through the command line: each is answered in plain words, with path and line, what came, and what to do.

Every case edits a working config or its table in one way. Exit code 2 for what cannot be trained, 0 with a warning for what only looks
wrong; never a traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from cotrain.cli.main import app

CONFIG = """\
data:
  path: census.csv
  split: {method: stratified, fractions: [0.6, 0.2, 0.2]}
inputs: ["*"]
tasks:
  income: {column: income, kind: binary}
  grade: {kind: multiclass}
  wage: regression
encoder: {name: mlp, widths: [8, 8], dropout: 0.1}
sharing: {name: mmoe, experts: 2}
balance: {name: nash_mtl, engine: {mode: exact}}
train: {epochs: 1, batch_size: 64, optimizer: {name: adamw, lr: 0.002}, early_stopping: {patience: 5}}
seed: 0
"""

Cells = dict[str, list[object]]
Answered = Callable[["Mistake", Path], None]


def census(rows: int = 120) -> Cells:
    """A table with two number columns, a category, and three targets that depend on them."""
    draw = np.random.default_rng(0)
    age = draw.integers(18, 90, rows)
    hours = draw.normal(38, 9, rows).round(2)
    city = draw.choice(["Oslo", "Rome", "Lyon"], rows)
    wage = (age * 0.4 + hours + draw.normal(0, 3, rows)).round(2)
    return {
        "age": age.tolist(),
        "hours": hours.tolist(),
        "city": city.tolist(),
        "income": ["high" if value > np.median(wage) else "low" for value in wage],
        "grade": ["abc"[int(value) % 3] for value in hours],
        "wage": wage.tolist(),
    }


@dataclass(frozen=True)
class Mistake:
    """One slip. swap: text in the config to its replacement. cells: changes the table. at, path: where it must be said to be."""

    name: str
    swap: Mapping[str, str] = field(default_factory=dict)
    cells: Callable[[Cells], object] | None = None
    at: str = ""
    path: str = ""
    says: tuple[str, ...] = ()
    code: int = 2


def put(column: str, row: int, value: object) -> Callable[[Cells], object]:
    return lambda cells: cells[column].__setitem__(row, value)


def replace(column: str, make: Callable[[int, object], object]) -> Callable[[Cells], object]:
    return lambda cells: cells.__setitem__(column, [make(row, value) for row, value in enumerate(cells[column])])


def keep(rows: int) -> Callable[[Cells], object]:
    return lambda cells: [cells.__setitem__(name, values[:rows]) for name, values in list(cells.items())]


def rename(old: str, new: str) -> Callable[[Cells], object]:
    return lambda cells: cells.__setitem__(new, cells.pop(old))


MISTAKES = [
    # ------------------------------------------------------------------------------------------- misspelt keys, at any level
    Mistake("a key of the config", {"tasks:": "task:"}, at="5:1", path="task", says=("did you mean 'tasks'?",)),
    Mistake("a key of data", {"path:": "paht:"}, at="2:3", path="data.paht", says=("did you mean 'path'?",)),
    Mistake("a key of the split", {"fractions:": "fraction:"}, at="3:31", path="data.split.fraction", says=("did you mean 'fractions'?",)),
    Mistake("a key of a task", {"kind: binary}": "kind: binary, treshold: 0.4}"}, at="6:42", path="tasks.income.treshold", says=("did you mean 'threshold'?", "task kind 'binary'")),
    Mistake("a key of an input", {'["*"]': "{all: {colums: ['*']}}"}, at="4:16", path="inputs.all.colums", says=("did you mean 'columns'?",)),
    Mistake("a setting of the encoder", {"dropout": "drop_out"}, at="9:38", path="encoder.drop_out", says=("did you mean 'dropout'?", "encoder 'mlp'")),
    Mistake("a setting of the sharing", {"experts": "expert"}, at="10:23", path="sharing.expert", says=("did you mean 'experts'?",)),
    Mistake("a key of the balance", {"engine:": "engin:"}, at="11:27", path="balance.engin", says=("did you mean 'engine'?",)),
    Mistake("a key of the engine", {"mode:": "mod:"}, at="11:36", path="balance.engine.mod", says=("did you mean 'mode'?",)),
    Mistake("a key of train", {"epochs:": "epoch:"}, at="12:9", path="train.epoch", says=("did you mean 'epochs'?",)),
    Mistake("a key of the optimiser", {"lr: 0.002": "lrate: 0.002"}, at="12:61", path="train.optimizer.lrate", says=("write it as 'lr'",)),
    Mistake("a key of early stopping", {"patience": "patiense"}, at="12:90", path="train.early_stopping.patiense", says=("did you mean 'patience'?",)),
    Mistake("a key of a head", {"kind: binary}": "kind: binary, head: {name: mlp, width: [4]}}"}, at="6:60", path="tasks.income.head.width", says=("did you mean 'widths'?",)),
    Mistake("a key of a variant", {"seed: 0": "compare: {variants: {a: {sharin: hard}}}"}, at="13:26", path="compare.variants.a.sharin", says=("did you mean 'sharing'?",)),
    # ------------------------------------------------------------------------------------------------------- keys out of place
    Mistake("a learning rate beside the epochs", {"epochs: 1": "lr: 0.1"}, at="12:9", path="train.lr", says=("it belongs to 'train.optimizer.lr'",)),
    Mistake("a learning rate by its long name", {"lr: 0.002": "learning_rate: 0.002"}, at="12:61", path="train.optimizer.learning_rate", says=("write it as 'lr'",)),
    Mistake("epochs at the top", {"seed: 0": "epochs: 3"}, at="13:1", path="epochs", says=("it belongs to 'train.epochs'",)),
    Mistake("another library's word for targets", {"tasks:": "targets:"}, at="5:1", path="targets", says=("write it as 'tasks'",)),
    Mistake("the engine's mode in the balance", {"engine: {mode: exact}": "mode: exact"}, at="11:27", path="balance.mode", says=("it belongs to 'balance.engine.mode'",)),
    Mistake("a kind called type", {"kind: multiclass": "type: multiclass"}, at="7:11", path="tasks.grade.type", says=("write `kind:` in place of `type:`",)),
    Mistake("a word that comes later", {"seed: 0": "export: {form: onnx}"}, at="13:1", path="export", says=("comes later",)),
    Mistake("a task's source", {"kind: binary}": "kind: binary, source: b}"}, at="6:50", path="tasks.income.source", says=("one table only",)),
    # --------------------------------------------------------------------------------------------------------- misspelt names
    Mistake("a kind of task", {"kind: binary": "kind: binry"}, at="6:34", path="tasks.income.kind", says=("did you mean 'binary'?", "multiclass")),
    Mistake("a kind as a bare word", {"wage: regression": "wage: regresion"}, at="8:9", path="tasks.wage", says=("did you mean 'regression'?",)),
    Mistake("a metric", {"kind: binary}": "kind: binary, metric: aucc}"}, at="6:50", path="tasks.income.metric", says=("did you mean 'auc'?",)),
    Mistake("a loss", {"kind: binary}": "kind: binary, loss: crossentropy}"}, at="6:48", path="tasks.income.loss", says=("did you mean 'cross_entropy'?",)),
    Mistake("a head", {"kind: binary}": "kind: binary, head: linaer}"}, at="6:48", path="tasks.income.head", says=("did you mean 'linear'?",)),
    Mistake("an encoder", {"name: mlp": "name: mpl"}, at="9:17", path="encoder.name", says=("did you mean 'mlp'?",)),
    Mistake("a sharing", {"name: mmoe": "name: mmoee"}, at="10:17", path="sharing.name", says=("did you mean 'mmoe'?", "hard")),
    Mistake("a balancer", {"name: nash_mtl": "name: nashmtl"}, at="11:17", path="balance.name", says=("did you mean 'nash_mtl'?",)),
    Mistake("an engine's mode", {"mode: exact": "mode: exakt"}, at="11:42", path="balance.engine.mode", says=("did you mean 'exact'?", "'features'")),
    Mistake("an optimiser", {"name: adamw": "name: adam"}, at="12:54", path="train.optimizer.name", says=("did you mean 'adamw'?", "'sgd'")),
    Mistake("a schedule", {"epochs: 1": "schedule: cosin"}, at="12:19", path="train.schedule", says=("did you mean 'cosine'?",)),
    Mistake("a way to split", {"stratified": "stratifyed"}, at="3:19", path="data.split.method", says=("did you mean 'stratified'?",)),
    Mistake("a kind of column", {'["*"]': "{all: {columns: ['*'], kind: numbre}}"}, at="4:38", path="inputs.all.kind", says=("did you mean 'number'?",)),
    Mistake("a precision", {"epochs: 1": "precision: bf61"}, at="12:20", path="train.precision", says=("bf16",)),
    Mistake("a device", {"epochs: 1": "device: gpu"}, at="12:17", path="train.device", says=("'cuda'",)),
    # -------------------------------------------------------------------------------------------------------- values that do not fit
    Mistake("a word for a number", {"lr: 0.002": "lr: fast"}, at="12:65", path="train.optimizer.lr", says=("expected a number, or 'auto', got the text 'fast'",)),
    Mistake("a number in quotes", {"epochs: 1": 'epochs: "10"'}, at="12:17", path="train.epochs", says=("write 10 without quotes",)),
    Mistake("a decimal comma", {"dropout: 0.1": 'dropout: "0,1"'}, at="9:47", path="encoder.dropout", says=("with a point",)),
    Mistake("a percentage", {"dropout: 0.1": "dropout: 10%"}, at="9:47", path="encoder.dropout", says=("write 0.1",)),
    Mistake("half an epoch", {"epochs: 1": "epochs: 1.5"}, at="12:17", path="train.epochs", says=("expected a whole number, got 1.5",)),
    Mistake("a word among widths", {"[8, 8]": "[8, big]"}, at="9:34", path="encoder.widths[1]", says=("expected a whole number, got the text 'big'",)),
    Mistake("one width without brackets", {"[8, 8]": "8"}, at="9:30", path="encoder.widths", says=("put it in brackets: [8]",)),
    Mistake("yes for true", {"kind: binary}": "kind: binary, head: {name: linear, dropout: yes}}"}, at="6:72", path="tasks.income.head.dropout", says=("expected a number, got the text 'yes'",)),
    Mistake("early stopping switched off with false", {"early_stopping: {patience: 5}": "early_stopping: false"}, at="12:89", path="train.early_stopping", says=("write null",)),
    Mistake("a key without a value", {"epochs: 1": "epochs: "}, at="12:16", path="train.epochs", says=("got nothing",)),
    Mistake("a negative learning rate", {"lr: 0.002": "lr: -0.002"}, at="12:65", path="train.optimizer.lr", says=("-0.002", "above 0")),
    Mistake("dropout beyond one", {"dropout: 0.1": "dropout: 1.5"}, at="9:47", path="encoder.dropout", says=("1.5",)),
    Mistake("no rows in a batch", {"batch_size: 64": "batch_size: 0"}, at="12:32", path="train.batch_size", says=("at least 1, got 0",)),
    Mistake("fractions beyond one", {"[0.6, 0.2, 0.2]": "[0.6, 0.3, 0.3]"}, at="3:42", path="data.split.fractions", says=("add up to 1",)),
    Mistake("two fractions", {"[0.6, 0.2, 0.2]": "[0.8, 0.2]"}, at="3:42", path="data.split.fractions", says=("3 values",)),
    Mistake("a threshold beyond one", {"kind: binary}": "kind: binary, threshold: 2}"}, at="6:53", path="tasks.income.threshold", says=("between 0 and 1",)),
    Mistake("no experts", {"experts: 2": "experts: 0"}, at="10:32", path="sharing.experts", says=("at least 1, got 0",)),
    Mistake("a negative seed", {"seed: 0": "seed: -1"}, at="13:7", path="seed", says=("at least 0",)),
    Mistake("a name with a slash", {"seed: 0": "name: runs/mine"}, at="13:7", path="name", says=("'runs/mine'",)),
    Mistake("a split by nothing", {"method: stratified": "method: group"}, at="3:19", path="data.split.method", says=("give `by`",)),
    Mistake("more experts' stages than the encoder has", {"experts: 2": "experts: 2, split: 5"}, at="10:42", path="sharing.split", says=("2 stages", "[-2, 1]")),
    Mistake("half precision without a GPU", {"epochs: 1": "device: cpu, precision: 16"}, at="12:33", path="train.precision", says=("needs a GPU", "bf16 or 32")),
    Mistake("a class that is not there", {"name: mmoe, experts: 2": "name: 'my_net:Net'"}, at="10:17", path="sharing.name", says=("module 'my_net' cannot be imported", "PYTHONPATH")),
    # ------------------------------------------------------------------------------------------------------------ sections left out
    Mistake("no tasks", {"tasks:": "encoder: mlp", "  income: {column: income, kind: binary}\n  grade: {kind: multiclass}\n  wage: regression\nencoder: {name: mlp, widths: [8, 8], dropout: 0.1}\n": ""}, path="tasks", says=("tasks: {income: binary}",)),
    Mistake("unknown scaling", {"path: census.csv": "path: census.csv\n  scaling: robst"}, path="data.scaling", says=("did you mean 'robust'",)),
    Mistake("a column of its own that is not there", {"path: census.csv": "path: census.csv\n  per_column: {agee: {categories: {rare: 3}}}"}, path="data.per_column.agee", says=("did you mean 'age'",)),
    Mistake("an unknown key of one column", {"path: census.csv": "path: census.csv\n  per_column: {age: {scalin: robust}}"}, path="data.per_column.age.scalin", says=("did you mean 'scaling'",)),
    Mistake("no data", {"data:\n  path: census.csv\n  split: {method: stratified, fractions: [0.6, 0.2, 0.2]}\n": ""}, path="data", says=("data: {path: census.csv}",)),
    Mistake("no kind", {"{kind: multiclass}": "{weight: 2}"}, at="7", path="tasks.grade.kind", says=("expected the kind of the task", "binary, box, conditional")),
    Mistake("tasks as a list", {"  income: {column: income, kind: binary}\n  grade: {kind: multiclass}\n  wage: regression": "  [income, grade, wage]"}, at="6:3", path="tasks", says=("tasks: {income: binary, age: regression}",)),
    Mistake("column and columns", {"column: income,": "column: income, columns: [income],"}, at="6:28", path="tasks.income.columns", says=("keep one of them",)),
    # ----------------------------------------------------------------------------------------------------------------- YAML itself
    Mistake("a key written twice", {"seed: 0": "seed: 0\nseed: 1"}, at="14:1", path="seed", says=("written twice", "line 13")),
    Mistake("an indent with a tab", {"  path:": "\tpath:"}, at="2", says=("use spaces",)),
    Mistake("a bracket left open", {"[8, 8]": "[8, 8"}, at="9", says=("bracket",)),
    Mistake("a star without quotes", {'"*"': "*"}, at="4", says=("needs quotes",)),
    Mistake("a colon without a space", {"seed: 0": "seed:0"}, at="14", says=("colon",)),
    Mistake("an indent that is off", {"  grade:": "   grade:"}, at="7", says=("column",)),
    # ----------------------------------------------------------------------------------------------------------------- columns
    Mistake("a missing table", {"census.csv": "cencus.csv"}, at="2:9", path="data.path", says=("did you mean 'census.csv'?",)),
    Mistake("a target that is no column", {"column: income": "column: incom"}, at="6", path="tasks.income", says=("incom", "did you mean 'income'?")),
    Mistake("a bare task that is no column", {"wage: regression": "wages: regression"}, at="8", path="tasks.wages", says=("did you mean 'wage'?",)),
    Mistake("an input that is no column", {'["*"]': "[age, huors]"}, at="4:15", path="inputs", says=("'huors'", "did you mean 'hours'?")),
    Mistake("an input taken out that is no column", {'["*"]': '["*", "-sity"]'}, at="4:15", path="inputs", says=("did you mean 'city'?",)),
    Mistake("a split by no column", {"method: stratified": "method: group, by: cty"}, at="3", path="data.split.by", says=("did you mean 'city'?",)),
    Mistake("weights in no column", {"path: census.csv": "path: census.csv\n  weight: hour"}, at="3", path="data.weight", says=("did you mean 'hours'?",)),
    Mistake("a kind for no column", {"path: census.csv": "path: census.csv\n  kinds: {sity: category}"}, at="3", path="data.kinds.sity", says=("did you mean 'city'?",)),
    Mistake("a target among the inputs", {'["*"]': "[age, hours, income]"}, at="4:22", path="inputs", says=("'income'", "target", "take it out")),
    Mistake("no input left", {'["*"]': "[income]"}, at="4", path="inputs", says=("income",)),
    Mistake("the same column twice", {'["*"]': "{a: [age], b: [age, hours]}"}, at="4", path="inputs", says=("'age'", "'b'", "name it once")),
    # ------------------------------------------------------------------------------------------------------------------- cells
    Mistake("words in a column of numbers", cells=put("hours", 7, "many"), at="2:9", path="data.path", says=("'hours', row 8", "'many'", "data.missing")),
    Mistake("words in a target of numbers", cells=put("wage", 7, "much"), at="8", path="tasks.wage", says=("much",)),
    Mistake("one class", cells=replace("income", lambda row, value: "low"), at="6", path="tasks.income", says=("two classes", "'low'")),
    Mistake("three classes in a binary target", cells=put("income", 5, "middle"), at="6", path="tasks.income", says=("middle", "multiclass")),
    Mistake("numbers in a binary target", {"column: income": "column: wage", "  wage: regression\n": ""}, at="6", path="tasks.income", says=("use kind: regression",)),
    Mistake("words in a regression", {"wage: regression": "city: regression"}, at="8", path="tasks.city", says=("should hold numbers", "kind: multiclass")),
    Mistake("a number of its own for every row in a multiclass target", {"{kind: multiclass}": "{kind: multiclass, column: wage}", "  wage: regression\n": ""}, at="7", path="tasks.grade", says=("regression",)),
    Mistake("a wrong number of classes", {"{kind: multiclass}": "{kind: multiclass, classes: 2}"}, at="7", path="tasks.grade", says=("'a', 'b', 'c'", "leave it out")),
    Mistake("a target without a label", cells=replace("income", lambda row, value: None), at="6", path="tasks.income", says=("none",)),
    Mistake("a target that never changes", cells=replace("wage", lambda row, value: 12.5), at="8", path="tasks.wage", says=("12.5",)),
    Mistake("five rows", cells=keep(5), at="2:9", path="data.path", says=("at least 10 rows", "got 5")),
    Mistake("no rows", cells=keep(0), at="2:9", path="data.path", says=("got 0",)),
    Mistake("a negative row weight", {"path: census.csv": "path: census.csv\n  weight: hours"}, cells=put("hours", 3, -1.0), at="3:11", path="data.weight", says=("'hours', row 4", "-1.0")),
    # ------------------------------------------------------------------------------------ said, and trained all the same
    Mistake("an infinite cell", cells=put("hours", 7, float("inf")), code=0, says=("'hours' has 1 infinite", "row 8")),
    Mistake("a constant column", cells=lambda cells: cells.__setitem__("one", [1] * 120), code=0, says=("one", "constant")),
    Mistake("a copy of a target among the inputs", cells=lambda cells: cells.__setitem__("hint", list(cells["income"])), code=0, says=("column 'hint' gives the target 'income'", "'-hint'")),
    Mistake("labels half missing", cells=replace("income", lambda row, value: None if row % 2 else value), code=0, says=("no label in 60 of 120 rows",)),
    Mistake("labels in disjoint rows", cells=lambda cells: [replace("income", lambda row, value: None if row % 2 else value)(cells), replace("wage", lambda row, value: value if row % 2 else None)(cells), replace("grade", lambda row, value: value if row % 2 else None)(cells)], code=0, says=("income", "wage")),
    Mistake("the same row in two splits", cells=lambda cells: [cells.__setitem__(name, values[:60] * 2) for name, values in list(cells.items())], code=0, says=("also in training",)),
    Mistake("stray spaces in labels", cells=replace("income", lambda row, value: f" {value} " if row % 3 else value), code=0, says=("income",)),
]  # fmt: skip

"""Everything `cotrain check` must answer. DESIGN.md names 27 of these; the rest are slips we made or saw made."""


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100"})


def words(result: Result) -> str:
    """All that was said, in one line: the folding at the terminal's width undone."""
    return " ".join(result.output.split())


def prepared(mistake: Mistake) -> None:
    """The config and the table of a mistake, in the working folder."""
    cells = census()
    if mistake.cells is not None:
        mistake.cells(cells)
    texts = {name: ["" if value is None else str(value) for value in values] for name, values in cells.items()}
    pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String)).write_csv("census.csv")
    config = CONFIG
    for old, new in mistake.swap.items():
        assert old in config
        config = config.replace(old, new, 1)
    Path("census.yaml").write_text(config)


def said(result: Result, mistake: Mistake) -> list[str]:
    """What is missing from an answer; empty where it is as it must be."""
    text = words(result)
    missing = [f"exit code {mistake.code}, got {result.exit_code}"] if result.exit_code != mistake.code else []
    missing += [f"'{each}'" for each in mistake.says if each not in text]
    if "Traceback" in text or (result.exception is not None and not isinstance(result.exception, SystemExit)):
        missing.append(f"no traceback, got {result.exception!r}")
    wanted = f"census.yaml:{mistake.at}" if mistake.at else ""
    spots = [line.strip() for line in result.output.splitlines()]
    if wanted and not any(spot.startswith((f"{wanted} ", f"{wanted}:")) for spot in spots):
        missing.append(f"the place {wanted}")
    if mistake.path and not any(
        spot.split("  ")[-1].startswith(mistake.path)
        for spot in spots
        if spot.startswith("census.yaml") or not mistake.at
    ):
        missing.append(f"the path {mistake.path}")
    return missing


def answered(mistakes: Sequence[Mistake], *command: str, begin: Callable[[Mistake], object] = prepared) -> Answered:
    """The test that a command, `cotrain check census.yaml` if none is named, answers each of these mistakes. begin: makes the files."""

    @pytest.mark.parametrize("mistake", mistakes, ids=lambda mistake: mistake.name.replace(" ", "_"))
    def test_a_mistake_is_answered(mistake: Mistake, place: Path) -> None:
        begin(mistake)
        result = ask(*(command or ("check", "census.yaml")))
        assert said(result, mistake) == [], result.output

    return test_a_mistake_is_answered


test_a_mistake_is_answered = answered(MISTAKES)


def test_all_mistakes_of_a_config_are_answered_at_once(place: Path) -> None:
    prepared(
        Mistake(
            "many",
            {"path:": "paht:", "kind: binary": "kind: binry", "dropout": "drop_out", "epochs: 1": "epochs: many"},
        )
    )
    result = ask("check", "census.yaml")
    assert result.exit_code == 2
    assert "census.yaml has 4 problems" in words(result)
    for place_of in ("census.yaml:2:3", "census.yaml:6:34", "census.yaml:9:38", "census.yaml:12:17"):
        assert place_of in result.output


def test_all_mistakes_of_the_cells_are_answered_at_once(place: Path) -> None:
    def both(cells: Cells) -> None:
        cells["income"] = ["low"] * 120
        cells["grade"] = [None] * 120

    prepared(Mistake("two", cells=both))
    result = ask("check", "census.yaml")
    assert result.exit_code == 2
    assert "census.yaml has 2 problems" in words(result)
    assert "census.yaml:6:3 tasks.income" in words(result)
    assert "census.yaml:7:3 tasks.grade" in words(result)


def test_train_and_compare_answer_as_check_does(place: Path) -> None:
    mistake = Mistake(
        "one class",
        cells=replace("income", lambda row, value: "low"),
        at="6",
        path="tasks.income",
        says=("two classes",),
    )
    prepared(mistake)
    assert said(ask("train", "census.yaml"), mistake) == []
    assert said(ask("compare", "census.yaml", "--seeds", "1"), mistake) == []
    assert not list(place.glob("runs/*/model.safetensors"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ("expected what is to be predicted", "expected the path of a table")),
        ("- a\n- b\n", ("expected keys and values, got the list",)),
        ("just words", ("expected keys and values, got the text",)),
        ("data: census.csv\ntasks: {}\n", ("expected at least one task",)),
        ("data: census.csv\ntasks: {wage: regression}\ninputs: []\n", ("expected at least one column",)),
        (
            "data: census.csv\ntasks: {wage: regression}\nsharing:\n",
            ("expected the name of a sharing, got nothing", "mmoe"),
        ),
        ("data: census.csv\ntasks: {wage: 3}\n", ("expected the kind of the task, or a mapping, got 3",)),
        ("a: &a [*a]\n", ("alias",)),
        ("a: !!python/object:os.system x\n", ("unknown key 'a'",)),
    ],
)
def test_a_config_that_is_none_is_answered(place: Path, text: str, says: tuple[str, ...]) -> None:
    prepared(Mistake("none"))
    Path("census.yaml").write_text(text)
    result = ask("check", "census.yaml")
    assert said(result, Mistake("none", says=says)) == [], result.output


def test_files_that_are_no_config_are_answered(place: Path) -> None:
    prepared(Mistake("none"))
    Path("table.parquet").write_bytes(b"PAR1\0\xff")
    Path("folder").mkdir()
    for name, says in {
        "cencus.yaml": ("did you mean 'census.yaml'?",),
        "nowhere/census.yaml": ("no file is",),
        "folder": ("got a folder",),
        "table.parquet": ("data file instead of the config",),
        "census.csv": ("is this the data file instead of the config?",),
    }.items():
        assert said(ask("check", name), Mistake(name, says=says)) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("empty", b"", ("census.csv",)),
        ("a picture", b"\x89PNG\r\n\x1a\n\0\0\0", ("census.csv",)),
        ("the same column twice", b"age,age,wage\n" + b"1,2,3\n" * 30, ("age",)),
        ("a cell too many", b"age,wage\n" + b"1,2\n" * 30 + b"1,2,3\n" + b"4,5\n" * 30, ("census.csv", "line 32")),
    ],
)
def test_files_that_are_no_table_are_answered(place: Path, name: str, text: bytes, says: tuple[str, ...]) -> None:
    Path("census.csv").write_bytes(text)
    Path("census.yaml").write_text("data: census.csv\ntasks: {wage: regression}\n")
    result = ask("check", "census.yaml")
    assert said(result, Mistake(name, says=says)) == [], result.output


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, its table and a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepared(Mistake("none"))
        result = ask("train", "census.yaml")
        assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predict", "runs/cencus", "census.csv"], ("runs/cencus",)),
        (["predict", "runs/census", "cencus.csv"], ("did you mean 'census.csv'?",)),
        (["predict", "runs/census", "short.csv"], ("hours",)),
        (["predict", "runs/census", "census.csv", "-o", "out.xlsx"], ("expected a file ending in .csv", "'out.xlsx'")),
        (["predict", "runs/census", "census.csv", "-o", "nowhere/out.csv"], ("make 'nowhere' first",)),
        (["evaluate", "runs/census", "--split", "tset"], ("did you mean 'test'?",)),
        (["evaluate", "runs"], ("runs",)),
        (["report", "runs/cencus"], ("runs/cencus",)),
        (["train", "census.yaml", "--folder", "runs/census"], ("in use", "--resume")),
        (["train", "census.yaml", "--folder", "runs/new", "--resume"], ("nothing to resume",)),
        (["train", "other.yaml", "--folder", "runs/census", "--resume"], ("sharing",)),
        (["init", "census.csv", "--target", "incom", "-o", "new.yaml"], ("did you mean 'income'?",)),
        (["init", "cencus.csv", "--target", "income", "-o", "new.yaml"], ("did you mean 'census.csv'?",)),
        (["init", "census.csv", "--target", "income"], ("does not exist yet",)),
        (["demo", "cancre"], ("did you mean 'cancer'?",)),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_slips_after_training_are_answered(
    trained: Path, arguments: list[str], says: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    pl.read_csv("census.csv").drop("hours").write_csv("short.csv")
    Path("other.yaml").write_text(CONFIG.replace("{name: mmoe, experts: 2}", "hard"))
    result = ask(*arguments)
    assert said(result, Mistake("slip", says=says)) == [], result.output
