"""Proposes settings and groupings by ask and tell, from finished trials alone; it knows nothing of training.

Random, quasi-random, TPE, CMA-ES, genetic and particle-swarm samplers and the grouping of tasks by affinity belong here.
Nothing lives here yet.
"""
