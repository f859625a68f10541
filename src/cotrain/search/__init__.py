"""Proposes what to try next, by ask and tell, from finished trials alone; it knows nothing of training.

A `Problem` is a `Space` (ranges, choices, parameters that are there under a choice alone), one or several objectives, and constraints on what
a finished trial may cost. A sampler's answer depends on the finished trials and a seed and on nothing else; the mathematics is
Optuna's, pymoo's and cmaes's (`pip install 'cotrain[tune]'`). A `Study` is the trials of one problem, shared by processes and machines
through a file or PostgreSQL: as many finished trials as wanted and no number twice, whatever worker dies. `pareto_front`, `hypervolume`
and `pick` read what came out. `cotrain.search.grouping` says which tasks belong together.

>>> from cotrain.search import Objective, Problem, Random, Space, Study, pick, work
>>> space = Space.from_json({"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "width": {"low": 16, "high": 256}})
>>> study = Study(Problem(space, (Objective("error"),)), Random(), trials=8)
>>> work(study, lambda running: {"error": abs(running.parameters["lr"] - 0.01)})
8
>>> best = pick(study.problem, study.trials())
>>> best.values["error"] == min(trial.values["error"] for trial in study.trials())
True
"""

from cotrain.search.asha import ASHA
from cotrain.search.cma_es import CMAES
from cotrain.search.differential_evolution import DifferentialEvolution
from cotrain.search.domains import Choice, Float, Integer
from cotrain.search.front import hypervolume, pareto_front, pick
from cotrain.search.genetic import Genetic
from cotrain.search.gp import GP
from cotrain.search.grid import Grid
from cotrain.search.hyperband import Hyperband
from cotrain.search.median import Median
from cotrain.search.nsga2 import NSGA2
from cotrain.search.nsga3 import NSGA3
from cotrain.search.particle_swarm import ParticleSwarm
from cotrain.search.problem import Constraint, Objective, Problem
from cotrain.search.protocol import Pruner, Sampler
from cotrain.search.random_search import Random
from cotrain.search.space import Parameter, Space
from cotrain.search.study import Study
from cotrain.search.tpe import TPE
from cotrain.search.trial import Trial
from cotrain.search.worker import Running, work

__all__ = [
    "Space", "Parameter", "Float", "Integer", "Choice",
    "Problem", "Objective", "Constraint", "Trial", "Sampler", "Pruner",
    "Random", "Grid", "TPE", "GP", "CMAES", "Genetic", "ParticleSwarm", "DifferentialEvolution", "NSGA2", "NSGA3",
    "Median", "ASHA", "Hyperband",
    "Study", "Running", "work", "pareto_front", "hypervolume", "pick",
]  # fmt: skip
