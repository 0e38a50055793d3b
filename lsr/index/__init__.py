"""Indexes of sparse and dense vectors, in memory and on disk."""
