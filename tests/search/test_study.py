"""A study: as many finished trials as wanted, no number twice, whoever dies; the same wherever it lives."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from search.toys import PROBLEMS, sphere

from cotrain.core.errors import ConfigError, StudyError, TrainingError
from cotrain.search.asha import ASHA
from cotrain.search.database import connect, shown
from cotrain.search.front import feasible
from cotrain.search.genetic import Genetic
from cotrain.search.grid import Grid
from cotrain.search.median import Median
from cotrain.search.problem import Constraint, Problem
from cotrain.search.random_search import Random
from cotrain.search.space import Parameters, Space
from cotrain.search.study import Study
from cotrain.search.trial import Trial
from cotrain.search.worker import Pruned, Running, work

pytest.importorskip("optuna")

PROBLEM = PROBLEMS["numbers"]
NAMES = (f"study {count}" for count in itertools.count())
Open = Callable[..., Study]


class Stubborn(Random):
    """Asks for the same point every time."""

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        return {"a": 1}


@pytest.fixture
def opened(place: str) -> Iterator[Open]:
    """Opens the same study each time, of a name of its own."""
    name, studies = next(NAMES), []

    def open_study(**settings: object) -> Study:
        kept = {"problem": PROBLEM, "sampler": Random(), "trials": 5, "place": place, "name": name} | settings
        study = Study(kept.pop("problem"), kept.pop("sampler"), **kept)  # type: ignore[arg-type]
        studies.append(study)
        return study

    yield open_study
    for study in studies:
        study.close()


def measured(running: Running) -> dict[str, float]:
    return {"f": sphere(running.parameters)}  # type: ignore[arg-type]


def test_a_study_ends_with_as_many_trials_as_wanted(opened: Open) -> None:
    study = opened()
    assert work(study, measured) == 5
    assert [trial.number for trial in study.trials()] == [0, 1, 2, 3, 4]
    assert {trial.state for trial in study.trials()} == {"complete"}
    assert study.ask() is None
    assert study.store.age() >= 0


def test_each_trial_has_a_seed_of_its_own_that_its_number_decides(opened: Open) -> None:
    study = opened()
    work(study, measured)
    seeds = [trial.seed for trial in study.trials()]
    assert len(set(seeds)) == 5
    other = opened(name=next(NAMES))
    work(other, measured)
    assert [trial.seed for trial in other.trials()] == seeds


def test_a_study_goes_on_where_it_ended_and_may_be_made_longer(opened: Open, place: str) -> None:
    if place == "memory":
        pytest.skip("memory does not outlive its study")
    work(opened(sampler=Genetic(population=3)), measured)
    again = opened(sampler=Genetic(population=3), trials=9)
    assert work(again, measured) == 4
    straight = opened(sampler=Genetic(population=3), trials=9, name=next(NAMES))
    work(straight, measured)
    assert [trial.parameters for trial in again.trials()] == [trial.parameters for trial in straight.trials()]


def test_a_dead_workers_trial_is_begun_again_with_the_same_parameters(opened: Open) -> None:
    study = opened(lease=0.2, trials=2)
    dead = study.ask()
    assert dead is not None
    first = study.ask()
    assert first is not None
    assert first.number == 1
    time.sleep(0.25)
    with study.held(first):
        again = study.ask()
    assert again is not None
    assert (again.number, again.parameters, again.seed, again.attempt) == (0, dead.parameters, dead.seed, 2)
    assert not study.tell(dead, {"f": 1.0})
    assert study.tell(again, {"f": 2.0})
    assert not study.tell(dead, {"f": 3.0})
    assert study.tell(first, {"f": 4.0})
    assert [trial.values["f"] for trial in study.trials()] == [2.0, 4.0]


def test_a_worker_that_died_before_it_had_parameters_leaves_a_whole_trial(opened: Open) -> None:
    study = opened(lease=0.1, trials=1)
    study.store.claim("somebody who dies at once")
    time.sleep(0.15)
    assert work(study, measured) == 1
    assert study.trials()[0].parameters == Random().ask(PROBLEM, (), 0, 0)


def test_a_trial_that_takes_its_workers_with_it_is_given_up(opened: Open) -> None:
    study = opened(lease=0.05, trials=1, attempts=2)
    for _ in range(2):
        assert study.ask() is not None
        time.sleep(0.1)
    assert study.ask() is None
    (trial,) = study.trials()
    assert trial.state == "failed"
    assert "its worker died 2 times" in str(trial.error)


def test_a_held_trial_stays_however_long_it_takes(opened: Open) -> None:
    study = opened(lease=0.15, trials=1)
    trial = study.ask()
    assert trial is not None
    with study.held(trial):
        time.sleep(0.4)
        assert study.ask(until=time.monotonic() + 0.1) is None
    assert study.tell(trial, {"f": 1.0})


def test_threads_that_share_a_study_finish_each_trial_once(opened: Open) -> None:
    study = opened(trials=40)
    counts: list[int] = []

    def one() -> None:
        counts.append(work(study, measured))
        study.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 40
    assert [trial.number for trial in study.trials()] == list(range(40))


def test_an_answer_that_was_lost_on_its_way_may_be_told_again(opened: Open) -> None:
    study = opened(trials=1)
    trial = study.ask()
    assert trial is not None
    assert study.tell(trial, {"f": 1.0})
    assert study.tell(trial, {"f": 1.0})
    assert not study.tell(trial, {"f": 2.0})


def test_trials_asked_for_by_hand_come_first_and_count(opened: Open) -> None:
    study = opened(trials=3)
    given = dict.fromkeys(PROBLEM.space.by_name, 1.0)
    assert study.add(given) == 0
    work(study, measured)
    assert study.trials()[0].parameters == given
    assert study.trials()[0].values == {"f": 0.0}
    assert len(study.trials()) == 3
    with pytest.raises(ConfigError, match="'x0' is a number from -5 to 5, got 9"):
        study.add({**given, "x0": 9})


def test_a_failure_counts_and_a_mistake_in_the_program_does_not(opened: Open) -> None:
    study = opened(trials=3)

    def fails(running: Running) -> dict[str, float]:
        if running.trial.number == 0:
            raise TrainingError("task 'age' diverged")
        if running.trial.number == 1:
            return {"f": math.nan}
        raise KeyError("oops")

    with pytest.raises(KeyError):
        work(study, fails)
    first, second, third = study.trials()
    assert (first.state, first.error) == ("failed", "TrainingError: task 'age' diverged")
    assert (second.state, second.error) == ("failed", "'f' should be a finite number, and is nan")
    assert third.state == "waiting"
    assert work(study, measured) == 1
    assert study.trials()[2].attempt == 1


def test_a_number_that_a_constraint_needs_must_be_there(opened: Open) -> None:
    study = opened(problem=Problem(PROBLEM.space, PROBLEM.objectives, (Constraint("latency", at_most=5.0),)), trials=1)
    work(study, measured)
    assert study.trials()[0].error == "'latency' should be a finite number, and is nothing"


def test_workers_that_begin_at_the_same_moment_ask_for_the_first_trial_once(shared: str) -> None:
    name, given = next(NAMES), dict.fromkeys(PROBLEM.space.by_name, 1.0)
    together = threading.Barrier(6)

    def one() -> None:
        together.wait()
        with closing(Study(PROBLEM, Random(), trials=4, place=shared, name=name, first=(given,))) as study:
            work(study, measured)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(Study(PROBLEM, Random(), trials=4, place=shared, name=name, first=(given,))) as study:
        trials = study.trials()
    assert [trial.parameters == given for trial in trials] == [True, False, False, False]
    assert [trial.number for trial in trials] == [0, 1, 2, 3]


def test_no_worker_begins_what_another_one_is_at(opened: Open) -> None:
    problem = Problem(Space.from_json({"a": {"choice": [1, 2, 3]}}), PROBLEM.objectives)
    study = opened(problem=problem, sampler=Stubborn(), trials=4)
    asked = [study.ask() for _ in range(4)]
    values = [dict(trial.parameters)["a"] for trial in asked if trial is not None]
    assert sorted(values[:3]) == [1, 2, 3]
    assert values[0] == 1
    assert values[3] in (1, 2, 3)  # nothing else is left


def test_a_first_trial_is_a_point_of_the_space() -> None:
    with pytest.raises(ConfigError, match="unknown parameter 'y0'"):
        Study(PROBLEM, Random(), trials=3, first=({"y0": 1.0},))


def test_a_trial_that_breaks_a_bound_early_keeps_what_was_measured_and_is_worse_than_any(opened: Open) -> None:
    bounded = Problem(PROBLEM.space, PROBLEM.objectives, (Constraint("cost", at_most=5.0),))
    study = opened(problem=bounded, trials=1)

    def too_dear(running: Running) -> dict[str, float]:
        raise Pruned({"cost": 10.0, "other": math.nan})

    assert work(study, too_dear) == 1
    (trial,) = study.trials()
    assert (trial.state, trial.values) == ("pruned", {"cost": 10.0})
    assert (bounded.losses(trial), bounded.violation(trial)) == ((math.inf,), 1.0)
    assert not bounded.feasible(trial)
    with pytest.raises(
        StudyError, match="none of 1 trials keeps the constraints; closest came trial 0: cost 10 against at most 5"
    ):
        feasible(bounded, study.trials())


def test_a_pruned_trial_ends_early(opened: Open) -> None:
    study = opened(trials=8, pruner=Median(startup=2))

    def slowly(running: Running) -> dict[str, float]:
        for step in range(1, 4):
            running.report(step, float(running.trial.number))
        return {"f": float(running.trial.number)}

    assert work(study, slowly) == 8
    states = [trial.state for trial in study.trials()]
    assert states[:2] == ["complete", "complete"]
    assert states[2:] == ["pruned"] * 6
    assert study.trials()[5].intermediate == {1: 5.0}


def test_time_ends_a_worker_and_not_the_study(opened: Open) -> None:
    study = opened(trials=3)
    assert work(study, measured, until=time.monotonic() - 1.0) == 0
    assert study.store.left() == 3


def test_a_study_of_another_config_is_refused(opened: Open, place: str) -> None:
    if place == "memory":
        pytest.skip("memory is nobody else's")
    opened(config="one")
    with pytest.raises(ConfigError, match="begun with another config; give this study a name of its own"):
        opened(config="two")
    with pytest.raises(ConfigError, match="begun with another sampler"):
        opened(config="one", sampler=Genetic())
    other = Problem(PROBLEMS["mixed"].space, PROBLEMS["several"].objectives[1:], PROBLEMS["constrained"].constraints)
    with pytest.raises(ConfigError, match="begun with another constraints, objectives, space"):
        opened(config="one", problem=other)
    with pytest.raises(ConfigError, match="another seed"):
        opened(config="one", seed=1)


def test_a_grid_ends_the_study() -> None:
    with closing(Study(PROBLEMS["one choice"], Grid(), trials=100)) as study:
        assert work(study, lambda running: {"f": 0.0}) == 2


def test_what_does_not_go_together_is_refused_at_the_door() -> None:
    with pytest.raises(ConfigError, match="'genetic' serves one objective"):
        Study(PROBLEMS["several"], Genetic(), trials=3)
    with pytest.raises(ConfigError, match="pruner 'asha' serves one objective, and there are 2"):
        Study(PROBLEMS["several"], Random(), trials=3, pruner=ASHA())
    with pytest.raises(ConfigError, match="trials: a whole number of at least 1 is expected, got 0"):
        Study(PROBLEM, Random(), trials=0)


def test_a_place_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(
        StudyError, match=r"the database at postgresql://ann@127.0.0.1:1/studies does not answer"
    ) as caught:
        Study(PROBLEM, Random(), trials=1, place="postgresql://ann:secret@127.0.0.1:1/studies")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"postgresql://USER@HOST/NAME, got mysql://ann@db/x"):
        connect("mysql://ann:secret@db/x")
    with pytest.raises(StudyError, match="cannot be used: unable to open database file"):
        connect(str(tmp_path / "nowhere" / "study.sqlite"))
    (tmp_path / "text").write_text("no database at all, only words that go on for a while")
    with pytest.raises(StudyError, match="is no study"):
        connect(str(tmp_path / "text"))


def test_a_wrong_password_or_name_is_one_sentence(postgres: str) -> None:
    with pytest.raises(
        StudyError, match=r"does not answer .*does not exist.*; is it running, and do user, password and name fit"
    ) as caught:
        connect(postgres.replace("/postgres", "/studees"))
    assert "\n" not in str(caught.value)


def test_a_lost_connection_is_sought_again(postgres: str) -> None:
    import psycopg

    name = next(NAMES)
    with closing(Study(PROBLEM, Random(), trials=2, place=postgres, name=name)) as study:
        trial = study.ask()
        assert trial is not None
        with psycopg.connect(postgres, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert study.tell(trial, {"f": 1.0})


def test_a_password_is_not_shown() -> None:
    assert shown("postgresql://ann:se:cret@db/x?password=secret") == "postgresql://ann@db/x"
