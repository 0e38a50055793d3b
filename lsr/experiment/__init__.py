"""Experiments: from systems x collections in a file to runs, tables, tests and plots."""

from lsr.experiment.experiment_file import Experiment, read_experiment
from lsr.experiment.runner import run_experiment

__all__ = ["Experiment", "read_experiment", "run_experiment"]
