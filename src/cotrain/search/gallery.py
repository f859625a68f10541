"""All samplers and pruners, by the names a config uses."""

from __future__ import annotations

from cotrain.core.gallery import Gallery
from cotrain.search.asha import ASHA
from cotrain.search.cma_es import CMAES
from cotrain.search.differential_evolution import DifferentialEvolution
from cotrain.search.genetic import Genetic
from cotrain.search.gp import GP
from cotrain.search.grid import Grid
from cotrain.search.hyperband import Hyperband
from cotrain.search.median import Median
from cotrain.search.nsga2 import NSGA2
from cotrain.search.nsga3 import NSGA3
from cotrain.search.particle_swarm import ParticleSwarm
from cotrain.search.random_search import Random
from cotrain.search.tpe import TPE

SAMPLERS = Gallery(
    "sampler",
    (Random, Grid, TPE, GP, CMAES, Genetic, ParticleSwarm, DifferentialEvolution, NSGA2, NSGA3),
)
PRUNERS = Gallery("pruner", (Median, ASHA, Hyperband))
