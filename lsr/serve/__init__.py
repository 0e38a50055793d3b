"""Indexes, served over HTTP: `lsr serve`. Needs the extra `serve`."""
