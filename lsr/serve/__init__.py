"""Serving indexes over HTTP: `lsr serve`. Needs the extra `serve`."""
