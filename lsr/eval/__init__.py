"""Are the results any good: collections, runs and measures."""
