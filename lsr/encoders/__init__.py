"""Encoders: text to sparse and dense vectors."""
