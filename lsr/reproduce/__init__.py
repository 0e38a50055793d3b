"""Findings of the literature, put to the test: trainings that differ in one thing, over several seeds, compared."""
