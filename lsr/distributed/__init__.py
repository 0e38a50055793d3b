"""Sharded indexes, on one machine or, with Ray (the extra `ray`), on several."""
