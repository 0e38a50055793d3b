"""Findings of the literature, put to the test: trainings of one budget, over several seeds, compared."""
