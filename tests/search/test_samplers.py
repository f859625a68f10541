"""Every sampler: pure answers, in the space, whatever is missing; and it finds the bottom of a bowl."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from search.toys import PROBLEMS, F, G, run, sphere

from cotrain.core.errors import ConfigError
from cotrain.search.conformance import BrokenPromiseError, check_sampler
from cotrain.search.fits import lacks, refuse_unfit
from cotrain.search.gallery import SAMPLERS
from cotrain.search.genetic import Genetic
from cotrain.search.grid import Grid
from cotrain.search.problem import Constraint, Problem
from cotrain.search.protocol import Sampler
from cotrain.search.random_search import Random
from cotrain.search.space import Space
from cotrain.search.trial import Trial

pytest.importorskip("optuna")
pytest.importorskip("pymoo")

SERVED = [
    (name, kind) for name, cls in SAMPLERS.items() for kind, problem in PROBLEMS.items() if lacks(cls, problem) is None
]
SINGLE = [name for name, cls in SAMPLERS.items() if cls.objectives[0] == 1]


def made(name: str) -> Sampler:
    """The sampler, small where it is slow."""
    cls = SAMPLERS[name]
    small = {"population": 8, "startup": 4, "points": 3}
    return cls(**{setting: value for setting, value in small.items() if setting in cls.__dataclass_fields__})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(*one, marks=[pytest.mark.slow] * (one in (("gp", "several"), ("gp", "constrained"))))
        for one in SERVED
    ],
)
def test_answers_depend_on_trials_number_and_seed_alone(name: str, kind: str) -> None:
    trials = {"gp": 6, "grid": 6, "tpe": 14}.get(name, 29)
    check_sampler(made(name), PROBLEMS[kind], trials=trials)


def test_another_process_gives_the_same_answers() -> None:
    names = [name for name in SINGLE if name != "gp"]
    script = (
        "import json, sys\n"
        "sys.path.insert(0, 'tests')\n"
        "from search.toys import PROBLEMS, run, sphere\n"
        "from cotrain.search.gallery import SAMPLERS\n"
        f"for name in {names!r}:\n"
        "    told = run(SAMPLERS[name](), PROBLEMS['numbers'], lambda p: {'f': sphere(p)}, 25)\n"
        "    print(json.dumps(told[-1].parameters))\n"
    )
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False,
        env={"PYTHONHASHSEED": "77", "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    here = [run(SAMPLERS[name](), PROBLEMS["numbers"], lambda p: {"f": sphere(p)}, 25)[-1].parameters for name in names]
    assert [json.loads(line) for line in answer.stdout.splitlines()] == here


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name == "gp"))
        for name in SINGLE
        if name not in ("random", "grid")
    ],
)
def test_a_sampler_finds_the_bottom_of_a_bowl_better_than_chance(name: str) -> None:
    trials = 30 if name == "gp" else 120
    problem = PROBLEMS["numbers"]
    sampler = SAMPLERS[name]()
    best = min(trial.values["f"] for trial in run(sampler, problem, lambda p: {"f": sphere(p)}, trials))
    chance = min(trial.values["f"] for trial in run(Random(), problem, lambda p: {"f": sphere(p)}, trials))
    assert best < 0.5 * chance


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_a_front_spreads_between_two_bowls(name: str) -> None:
    """The nearest points to 1 and to -1 at once lie on the line between them: f + g = 10 (1 + t^2) on it, with sqrt f + sqrt g = sqrt 20."""
    problem = Problem(PROBLEMS["numbers"].space, (F, Problem.from_json(PROBLEMS["several"].to_json()).objectives[1]))

    def measure(parameters: dict[str, float]) -> dict[str, float]:
        return {"f": sphere(parameters), "g": -sum((value + 1.0) ** 2 for value in parameters.values())}

    told = run(SAMPLERS[name](), problem, measure, 400)[-100:]
    sums = sorted(trial.values["f"] ** 0.5 + (-trial.values["g"]) ** 0.5 for trial in told)
    assert sums[0] >= 20**0.5 - 1e-9
    assert sums[len(sums) // 2] < 20**0.5 + 1.0
    assert min(trial.values["f"] for trial in told) < 3 < max(trial.values["f"] for trial in told)


def test_a_grid_is_every_combination_once() -> None:
    problem = PROBLEMS["several"]
    grid = Grid(points=3)
    assert grid.most(problem) == 3**5
    told = run(grid, problem, lambda p: {"f": 0.0, "g": 0.0}, 3**5)
    assert len({json.dumps(trial.parameters) for trial in told}) == 3**5
    assert {trial.parameters["x0"] for trial in told} == {-5.0, 0.0, 5.0}
    with pytest.raises(ConfigError, match="243 combinations"):
        grid.ask(problem, told, 3**5, 0)


def test_a_grid_of_whole_numbers_keeps_to_their_steps() -> None:
    sizes = {trial.parameters["batch"] for trial in run(Grid(points=3), PROBLEMS["mixed"], lambda p: {"f": 0.0}, 60)}
    assert sizes == {32, 160, 256} or sizes == {32, 128, 256}


def test_what_a_sampler_cannot_do_is_refused_with_those_that_can() -> None:
    with pytest.raises(
        ConfigError, match=r"'cmaes' cannot vary choices \(optimizer, norm\); those that can: random, grid"
    ):
        refuse_unfit(SAMPLERS["cmaes"](), PROBLEMS["mixed"])
    with pytest.raises(
        ConfigError, match=r"'genetic' serves one objective, and there are 2 \(f, g\); those that can: .*nsga2"
    ):
        refuse_unfit(Genetic(), PROBLEMS["several"])
    with pytest.raises(ConfigError, match="'nsga2' is for 2 objectives or more"):
        refuse_unfit(SAMPLERS["nsga2"](), PROBLEMS["numbers"])
    with pytest.raises(ConfigError, match=r"under a choice alone \(experts, gate, k\)"):
        refuse_unfit(SAMPLERS["gp"](), PROBLEMS["conditional"])
    with pytest.raises(ConfigError, match="did you mean 'genetic'"):
        SAMPLERS["genetics"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [("genetic", {"population": 1}), ("tpe", {"startup": 0}), ("grid", {"points": 1}), ("cmaes", {"population": 2.5})],
)
def test_settings_are_checked_at_the_door(name: str, settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{name}.{next(iter(settings))}: a whole number of at least"):
        SAMPLERS[name](**settings)


def test_the_suite_finds_a_sampler_that_remembers() -> None:
    class Remembering(Random):
        calls = 0

        def ask(self, problem, trials, number, seed):  # type: ignore[no-untyped-def]
            type(self).calls += 1
            return super().ask(problem, trials, number, seed + type(self).calls)

    with pytest.raises(BrokenPromiseError, match="depends on more than"):
        check_sampler(Remembering(), PROBLEMS["numbers"], trials=4)


def test_the_suite_finds_a_sampler_that_leaves_the_space() -> None:
    class Wild(Random):
        def ask(self, problem, trials, number, seed):  # type: ignore[no-untyped-def]
            return super().ask(problem, trials, number, seed) | {"x0": 7.0}

    with pytest.raises(BrokenPromiseError, match="a number from -5 to 5, got 7"):
        check_sampler(Wild(), PROBLEMS["numbers"], trials=4)


def test_the_direction_of_an_objective_is_heeded() -> None:
    problem = Problem(PROBLEMS["numbers"].space, (G,))
    told = run(Genetic(), problem, lambda p: {"g": -sphere(p)}, 100)
    assert max(trial.values["g"] for trial in told[60:]) > -15


@pytest.mark.parametrize("name", ["tpe", "genetic", "particle_swarm", "differential_evolution", "nsga2", "nsga3"])
def test_samplers_learn_from_trials_that_broke_a_bound_before_they_were_run(name: str) -> None:
    """Hardly a point keeps the bound, and all that is known of the others is how far beyond it they are: later trials come closer."""
    space = Space.from_json({"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}})
    objectives = (F, G) if name.startswith("nsga") else (F,)
    problem = Problem(space, objectives, (Constraint("cost", at_most=0.01),))
    sampler, told = made(name), []
    for number in range(48):
        parameters = sampler.ask(problem, told, number, 0)
        trial = Trial(number=number, parameters=parameters)
        if parameters["x"] > 0.01:
            told.append(replace(trial, state="pruned", values={"cost": parameters["x"]}))
        else:
            told.append(trial.completed({"f": parameters["y"], "g": parameters["y"], "cost": parameters["x"]}))
    places = [trial.parameters["x"] for trial in told]
    assert statistics.median(places[-16:]) < 0.25  # of even draws: 0.5
