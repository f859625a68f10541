"""Mistakes in how the data are cleaned and encoded, in config and cells: each is answered at its line and path."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotrain.recipe.check import check
from cotrain.recipe.config import load_config
from cotrain.recipe.problems import ConfigProblems, Problem

MISTAKES = [
    # what is written under `data:`, path, what is said
    ("impute: medain", "data.impute", "did you mean 'median'"),
    ("impute: constant", "data.impute", "value: 0"),
    ("impute: {name: mean, value: 3}", "data.impute.value", "read by 'constant' only"),
    ("impute: {name: mean, label: x}", "data.impute.label", "read by 'constant' only"),
    ("impute: {categories: constant}", "data.impute.categories", "label: unknown"),
    ("impute: {categories: most_frequnt}", "data.impute.categories", "'most_frequent'"),
    ("impute: {name: learned, indicator: false}", "data.impute.indicator", "the weight of the indicator"),
    ("outliers: isolation_forst", "data.outliers", "did you mean 'isolation_forest'"),
    ("outliers: {name: iqr, action: clop}", "data.outliers.action", "did you mean 'clip'"),
    ("outliers: {name: isolation_forest, action: clip}", "data.outliers.action", "no bounds to clip"),
    ("outliers: {name: quantile, factor: 3.0}", "data.outliers.factor", "read by iqr only"),
    ("outliers: {name: quantile, low: 0.9, high: 0.1}", "data.outliers.low", "0 <= low < high <= 1"),
    ("outliers: {name: isolation_forest, contamination: 0.7}", "data.outliers.contamination", "at most 0.5"),
    ("scaling: minmax", "data.scaling", "did you mean 'min_max'"),
    ("per_column: {age: {outliers: isolation_forest}}", "data.per_column.age.outliers", "all number columns at once"),
    ("per_column: {age: {scalin: log}}", "data.per_column.age.scalin", "did you mean 'scaling'"),
    ("per_column: {agee: {scaling: log}}", "data.per_column.agee", "did you mean 'age'"),
    ("per_column: {age: {categories: {rare: 3}}}", "data.per_column.age.categories", "taken for number"),
    ("per_column: {city: {scaling: robust}}", "data.per_column.city.scaling", "taken for category"),
    ("per_column: {city: {impute: mean}}", "data.per_column.city.impute", "has no mean"),
    ("per_column: {wage: {scaling: log}}", "data.per_column.wage", "is no input"),
    ("per_column: [age]", "data.per_column", "expected a mapping with a name for each"),
]  # fmt: skip


def problems(path: Path) -> list[Problem]:
    """What loading or, where that is well, checking the data finds."""
    try:
        return list(check(load_config(path)).problems)
    except ConfigProblems as error:
        return list(error.problems)


@pytest.mark.parametrize(("written", "path", "said"), MISTAKES, ids=[one[0] for one in MISTAKES])
def test_a_mistake_is_answered(tmp_path: Path, written: str, path: str, said: str) -> None:
    rows = [f"{20 + place * 0.5},{['Rom', 'Oslo', 'Bari'][place % 3]},{place * 7 % 31}" for place in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["age,city,wage", *rows]))
    config = tmp_path / "rows.yaml"
    config.write_text(f"tasks: {{wage: regression}}\ndata:\n  path: rows.csv\n  {written}\n")
    (problem,) = problems(config)
    assert problem.path == path
    assert said in problem.message
    assert problem.line == 4
