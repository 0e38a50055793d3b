"""Settings of the whole test suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Numba compiles inside the first example, so that no example can have a deadline; equal runs make equal examples.
settings.register_profile("lsr", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lsr")
