"""Pruners end what is worse than others at the same step, and their answers depend on intermediate values alone."""

from __future__ import annotations

import random

import pytest
from search.toys import NUMBERS, PROBLEMS

from cotrain.core.errors import ConfigError
from cotrain.search.asha import ASHA
from cotrain.search.hyperband import Hyperband
from cotrain.search.median import Median
from cotrain.search.problem import Objective, Problem
from cotrain.search.protocol import Pruner
from cotrain.search.trial import Trial

optuna = pytest.importorskip("optuna")

PROBLEM = PROBLEMS["numbers"]
PARAMETERS = dict.fromkeys(NUMBERS.by_name, 0.0)


def complete(number: int, *values: float) -> Trial:
    steps = dict(enumerate(values, start=1))
    return Trial(number=number, parameters=PARAMETERS, intermediate=steps).completed({"f": values[-1]})


def running(number: int, *values: float) -> Trial:
    return Trial(number=number, parameters=PARAMETERS, intermediate=dict(enumerate(values, start=1)))


def test_the_median_is_that_of_the_complete_trials_at_the_step() -> None:
    others = [complete(number, float(number), float(number)) for number in range(5)]
    assert Median().prune(PROBLEM, others, running(9, 2.5))
    assert not Median().prune(PROBLEM, others, running(9, 2.0))
    assert not Median().prune(PROBLEM, others, running(9, 1.0, 3.0))  # its best so far counts
    assert not Median().prune(PROBLEM, others[:4], running(9, 99.0))
    assert not Median(warmup=2).prune(PROBLEM, others, running(9, 99.0))
    assert Median(warmup=2).prune(PROBLEM, others, running(9, 99.0, 99.0))


def test_what_should_become_large_is_ended_when_it_is_small() -> None:
    problem = Problem(NUMBERS, (Objective("f", maximize=True),))
    others = [complete(number, float(number)) for number in range(5)]
    assert Median().prune(problem, others, running(9, 1.0))
    assert not Median().prune(problem, others, running(9, 3.0))
    assert ASHA(reduction=2).prune(problem, others, running(9, 1.0))
    assert not ASHA(reduction=2).prune(problem, others, running(9, 4.0))


def test_a_rung_lets_the_best_part_go_on() -> None:
    others = [running(number, float(number)) for number in range(7)]
    assert not ASHA(reduction=4).prune(PROBLEM, others, running(9, 0.5))  # second of eight
    assert ASHA(reduction=4).prune(PROBLEM, others, running(9, 1.5))  # third of eight
    assert not ASHA(reduction=4, least=2).prune(PROBLEM, others, running(9, 99.0))  # before the first rung


def test_between_rungs_nobody_ends() -> None:
    others = [running(number, 0.0, 0.0, 0.0, float(number)) for number in range(7)]
    assert not ASHA(reduction=4).prune(PROBLEM, others, running(9, 0.0, 50.0))
    assert not ASHA(reduction=4).prune(PROBLEM, others, running(9, 0.0, 50.0, 50.0))
    assert ASHA(reduction=4).prune(PROBLEM, others, running(9, 0.0, 50.0, 50.0, 50.0))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ASHA(reduction=3), lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)),
        (Hyperband(most=27), lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=27, reduction_factor=3)),
        (Median(startup=3), lambda: optuna.pruners.MedianPruner(n_startup_trials=3)),
    ],
    ids=["asha", "hyperband", "median"],
)  # fmt: skip
def test_trials_end_where_optunas_own_loop_ends_them(ours: Pruner, theirs: object) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=theirs(), study_name="study")  # type: ignore[operator]
    draw = random.Random(1)
    told: list[Trial] = []
    for number in range(40):
        level = draw.random()
        curve = [level + 1.0 / step + 0.05 * draw.random() for step in range(1, 28)]
        ask = study.ask()
        ended_there = None
        for step, value in enumerate(curve, start=1):
            ask.report(value, step)
            if ask.should_prune():
                ended_there = step
                break
        study.tell(
            ask, None if ended_there else curve[-1], state=optuna.trial.TrialState.PRUNED if ended_there else None
        )
        ended_here = None
        for step in range(1, 28):
            if ours.prune(PROBLEM, told, running(number, *curve[:step])):
                ended_here = step
                break
        assert ended_here == ended_there
        told.append(
            complete(number, *curve)
            if ended_here is None
            else Trial(
                number=number,
                parameters=PARAMETERS,
                state="pruned",
                intermediate=dict(enumerate(curve[:ended_here], start=1)),
            )
        )
    assert 5 < sum(trial.state == "pruned" for trial in told) < 40


@pytest.mark.parametrize("pruner", [Median(), ASHA(), Hyperband(most=9)], ids=lambda one: one.name)
def test_the_order_of_the_others_does_not_matter(pruner: Pruner) -> None:
    draw = random.Random(3)
    others = [complete(number, *(draw.random() for _ in range(9))) for number in range(20)]
    for number in range(20, 30):
        trial = running(number, *(draw.random() for _ in range(draw.randint(1, 9))))
        assert pruner.prune(PROBLEM, others, trial) == pruner.prune(PROBLEM, others[::-1], trial)


def test_nothing_reported_is_nothing_to_judge() -> None:
    for pruner in (Median(), ASHA(), Hyperband(most=9)):
        assert not pruner.prune(PROBLEM, [complete(0, 1.0)], Trial(number=1))


def test_settings_are_checked_at_the_door() -> None:
    with pytest.raises(ConfigError, match="hyperband: most, the steps of a whole trial, lies above least, got 3 and 3"):
        Hyperband(most=3, least=3)
    with pytest.raises(ConfigError, match=r"asha\.reduction: a whole number of at least 2 is expected, got 1"):
        ASHA(reduction=1)
    with pytest.raises(ConfigError, match=r"median\.startup"):
        Median(startup=0)
