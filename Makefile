PYTHON ?= python3
BIN := .venv/bin
# Constraints keep torch, among others, at the version that the tests have seen.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint bench clean

demo: .venv/.demo
	$(BIN)/lsr demo

test: .venv/.dev
	$(BIN)/pytest

lint: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

bench: .venv/.dev
	$(INSTALL) --editable '.[bench]'
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/search.py

clean:
	rm -rf .venv

.venv/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[tiny]'
	touch $@

.venv/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[all,dev]'
	touch $@ .venv/.demo
