"""Populations that are built anew from trials: nobody waits, nothing remembered changes an answer, and what came early or failed is told as it was."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from search.toys import BOUND, MIXED, NUMBERS, PROBLEMS, F, run, sphere

from cotrain.search.cma_es import CMAES
from cotrain.search.differential_evolution import DifferentialEvolution
from cotrain.search.generations import forget
from cotrain.search.genetic import Genetic
from cotrain.search.nsga2 import NSGA2
from cotrain.search.particle_swarm import ParticleSwarm
from cotrain.search.problem import Objective, Problem
from cotrain.search.space import Space
from cotrain.search.trial import Trial

pytest.importorskip("pymoo")

POPULATIONS = [
    Genetic(population=6),
    ParticleSwarm(population=6),
    DifferentialEvolution(population=6),
    CMAES(population=6),
]
PROBLEM = PROBLEMS["numbers"]


def measured(parameters: dict[str, float]) -> dict[str, float]:
    return {"f": sphere(parameters)}


@pytest.mark.parametrize("sampler", POPULATIONS, ids=lambda one: one.name)
def test_a_worker_goes_on_while_another_one_is_late(sampler: Genetic) -> None:
    """Trial 3 never ends; nobody waits for it, and the search goes on downhill."""
    told: list[Trial] = []
    for number in range(60):
        parameters = sampler.ask(PROBLEM, told, number, 0)
        if number != 3:
            told.append(Trial(number=number, parameters=parameters).completed(measured(parameters)))
    assert len({tuple(trial.parameters.values()) for trial in told}) > 50  # a swarm may try its best point once more
    if sampler.name != "cmaes":  # it draws from its first distribution until its first generation is complete
        assert min(trial.values["f"] for trial in told[30:]) < min(trial.values["f"] for trial in told[:6])


@pytest.mark.parametrize("sampler", POPULATIONS, ids=lambda one: one.name)
def test_a_late_trial_is_used_once_it_is_there(sampler: Genetic) -> None:
    told = run(sampler, PROBLEM, measured, 24)
    without = [trial for trial in told if trial.number != 3]
    late = sorted([*without, replace(told[3], values={"f": -1.0})], key=lambda trial: trial.number)
    with_it, without_it = (
        [sampler.ask(PROBLEM, trials, number, 0) for number in range(24, 30)] for trials in (late, without)
    )
    assert with_it != without_it


@pytest.mark.parametrize("sampler", POPULATIONS, ids=lambda one: one.name)
def test_with_all_trials_failed_it_goes_on_drawing(sampler: Genetic) -> None:
    told: list[Trial] = []
    for number in range(20):
        parameters = sampler.ask(PROBLEM, told, number, 0)
        told.append(Trial(number=number, parameters=parameters, state="failed", error="no"))
    assert len({tuple(trial.parameters.values()) for trial in told}) == 20


@pytest.mark.parametrize("sampler", POPULATIONS[:3], ids=lambda one: one.name)
def test_a_trial_given_by_hand_leads_the_population(sampler: Genetic) -> None:
    """The optimum itself among the first six: later trials come close to it."""
    given = Trial(number=2, parameters=dict.fromkeys(NUMBERS.by_name, 1.0)).completed({"f": 0.0})
    told: list[Trial] = []
    for number in range(60):
        if number == 2:
            told.append(given)
            continue
        parameters = sampler.ask(PROBLEM, told, number, 1)
        told.append(Trial(number=number, parameters=parameters).completed(measured(parameters)))
    unled = run(sampler, PROBLEM, measured, 60, seed=1)
    later = sorted(trial.values["f"] for trial in told[30:])
    assert later[15] < sorted(trial.values["f"] for trial in unled[30:])[15]


def test_a_particle_whose_trial_failed_stays_where_it_was() -> None:
    sampler = ParticleSwarm(population=4)
    told = run(sampler, PROBLEM, measured, 8)
    failed = [replace(trial, state="failed", values={}) if trial.number == 5 else trial for trial in told]
    late = [trial for trial in told if trial.number != 5]
    assert sampler.ask(PROBLEM, failed, 8, 0) == sampler.ask(PROBLEM, late, 8, 0)


def test_a_pruned_trial_counts_with_its_last_value() -> None:
    told = run(Genetic(population=4), PROBLEM, measured, 4)
    pruned = [replace(trial, state="pruned", values={}, intermediate={1: 99.0, 2: trial.values["f"]}) for trial in told]
    assert Genetic(population=4).ask(PROBLEM, pruned, 5, 0) == Genetic(population=4).ask(PROBLEM, told, 5, 0)


def test_a_small_space_of_choices_is_no_dead_end() -> None:
    problem = PROBLEMS["one choice"]
    told = run(Genetic(population=6), problem, lambda p: {"f": 0.0 if p["a"] == "x" else 1.0}, 40)
    assert {trial.parameters["a"] for trial in told} == {"x", "y"}


@pytest.mark.parametrize("sampler", POPULATIONS[:3], ids=lambda one: one.name)
def test_constraints_are_kept_before_the_objective(sampler: Genetic) -> None:
    problem = Problem(MIXED, (F,), (replace(BOUND, at_most=400.0),))

    def costly(parameters: dict[str, float]) -> dict[str, float]:
        return {"f": -float(parameters["width"]), "cost": float(parameters["width"] * parameters["layers"])}

    told = run(replace(sampler, population=10), problem, costly, 150)
    late = told[100:]
    assert sum(problem.feasible(trial) for trial in late) > 25
    assert min(trial.values["f"] for trial in late if problem.feasible(trial)) < -170


def test_building_anew_and_going_on_give_the_same_trials() -> None:
    went_on = run(Genetic(population=5), PROBLEM, measured, 43)
    anew: list[Trial] = []
    for number in range(43):
        forget()
        parameters = Genetic(population=5).ask(PROBLEM, anew, number, 0)
        anew.append(Trial(number=number, parameters=parameters).completed(measured(parameters)))
    assert anew == went_on


def test_two_studies_in_one_process_do_not_disturb_each_other() -> None:
    alone = run(ParticleSwarm(population=5), PROBLEM, measured, 21)
    beside: list[Trial] = []
    other: list[Trial] = []
    for number in range(21):
        for told, seed in ((beside, 0), (other, 9)):
            parameters = ParticleSwarm(population=5).ask(PROBLEM, told, number, seed)
            told.append(Trial(number=number, parameters=parameters).completed(measured(parameters)))
    assert beside == alone


def test_asking_is_cheap_after_many_generations() -> None:
    space = Space.from_json({f"x{index}": {"kind": "float", "low": 0.0, "high": 1.0} for index in range(30)})
    problem = Problem(space, (Objective("f"), Objective("g")))
    begun = time.process_time()
    run(NSGA2(), problem, lambda p: {"f": p["x0"], "g": 1.0 - p["x0"] + sum(p.values())}, 400)
    assert (time.process_time() - begun) / 400 < 0.03
