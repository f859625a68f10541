"""Mistakes in the encoder of a config, with the methods that are settings of it: each is answered at its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotrain.recipe.config import load_config
from cotrain.recipe.problems import ConfigProblems

MISTAKES = [
    # what is written after `encoder:`, column, path, what is said
    ("{name: mlp, numbers: piecewise}", 31, "encoder.numbers", "did you mean 'piecewise_linear'?"),
    ("{name: mlp, numbers: false}", 31, "encoder.numbers", "write one of: linear, periodic, piecewise_linear"),
    ("{name: mlp, numbers: {name: piecewise_linear, bin: 8}}", 56, "encoder.numbers.bin", "did you mean 'bins'?"),
    ("{name: mlp, numbers: {name: piecewise_linear, bins: 100}}", 62, "encoder.numbers.bins", "between 2 and 64, got 100"),
    ("{name: mlp, numbers: {name: periodic, sigma: -1}}", 55, "encoder.numbers.sigma", "above 0 and finite, got -1"),
    ("{name: mlp, numbers: {name: periodic, lite: yes}}", 54, "encoder.numbers.lite", "write true"),
    ("{name: mlp, category_width: big}", 38, "encoder.category_width", "'auto', got the text 'big'"),
    ("{name: mlp, embedding: 8}", 22, "encoder.embedding", "Known: activation, category_width, dropout"),
    ("{name: tabm, members: 0}", 32, "encoder.members", "at least 1, got 0"),
    ("{name: tabm, arch: tiny}", 29, "encoder.arch", "expected one of 'tabm', 'mini'"),
    ("{name: ft_transformer, width: 20}", 40, "encoder.width", "a multiple of heads (8), got 20; 16 is one"),
    ("{name: ft_transformer, width: 16, numbers: {name: periodic, width: 8}}", 44, "encoder.numbers", "its tokens are 16 wide"),
    ("{name: resnet, norm: none}", 31, "encoder.norm", "expected one of 'batch', 'layer'"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "column", "path", "said"), MISTAKES, ids=[one[0] for one in MISTAKES])
def test_a_mistake_is_answered(tmp_path: Path, written: str, column: int, path: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n")
    config = tmp_path / "rows.yaml"
    config.write_text(f"data: rows.csv\ntasks: {{y: regression}}\nencoder: {written}\n")
    with pytest.raises(ConfigProblems) as caught:
        load_config(config)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert said in problem.message
    assert (problem.line, problem.column) == (3, column)
