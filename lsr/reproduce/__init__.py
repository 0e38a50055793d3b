"""Tests of published findings: trainings of one budget over several seeds, compared."""
