"""Samplers' libraries are loaded when a sampler is asked, and named where they are missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from search.toys import PROBLEMS

from cotrain.core.errors import MissingExtraError
from cotrain.recipe.catalogue import catalogue
from cotrain.search.fits import lacks
from cotrain.search.gallery import PRUNERS, SAMPLERS
from cotrain.search.trial import Trial

ROOT = Path(__file__).resolve().parents[2]


def test_importing_the_room_loads_no_library_of_samplers() -> None:
    script = "import cotrain.search, sys; print([name for name in ('optuna', 'pymoo', 'cmaes', 'psycopg', 'sqlalchemy') if name in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT / "src"
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_missing_library_is_answered_with_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotrain.search.extras.find_spec", lambda module: None)
    cls = SAMPLERS[name]
    problem = next(one for one in PROBLEMS.values() if lacks(cls, one) is None)
    with pytest.raises(MissingExtraError, match=rf"sampler '{name}' needs .*pip install 'cotrain\[tune\]'"):
        cls().ask(problem, (), 0, 0)


def test_a_missing_library_of_pruners_is_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotrain.search.extras.find_spec", lambda module: None)
    for name, cls in PRUNERS.items():
        pruner = cls(most=9) if name == "hyperband" else cls()
        with pytest.raises(MissingExtraError, match=f"pruner '{name}'"):
            pruner.prune(PROBLEMS["numbers"], (), Trial(number=0))


def test_the_catalogue_says_what_each_sampler_can_do() -> None:
    rooms = catalogue()
    tuners = {entry["name"]: entry for entry in rooms["tuners"]}
    assert list(tuners) == list(SAMPLERS)
    assert tuners["cmaes"]["can"] == ["numbers"]
    assert tuners["nsga2"]["objectives"] == [2, None]
    assert tuners["genetic"]["settings"]["population"] == {"expects": "a whole number", "default": 20}
    assert [entry["name"] for entry in rooms["pruners"]] == ["median", "asha", "hyperband"]
