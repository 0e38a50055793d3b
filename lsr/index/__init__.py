"""Sparse vectors become a searchable index, in memory or on disk."""
