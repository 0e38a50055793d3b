"""Queries in, ranked documents out."""
