"""A demonstration on text that every machine has: the documentation of Python's standard library."""

from lsr.demo.demonstration import run_demo

__all__ = ["run_demo"]
