"""Experiments: systems x collections, described in a file, to runs, tables, tests and plots."""

from lsr.eval.experiment.config import Experiment, read_experiment
from lsr.eval.experiment.run import run_experiment

__all__ = ["Experiment", "read_experiment", "run_experiment"]
