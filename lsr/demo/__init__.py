"""The demonstration on the documentation of Python's standard library, which every machine has."""

from lsr.demo.demonstration import run_demo

__all__ = ["run_demo"]
