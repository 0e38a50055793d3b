"""Indexing, searching and changing indexes: from documents and queries to rankings."""
