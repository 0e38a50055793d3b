PYTHON ?= python3
BIN := .venv/bin
# Constraints keep torch, among others, at the version that the tests have seen.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
PARALLEL := --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: demo test test-random test-long lint docs bench clean

demo: .venv/.demo
	$(BIN)/lsr demo

# Kernels are compiled first: several processes would each compile what none has left on disk yet.
test: .venv/.dev
	$(BIN)/lsr warmup
	$(BIN)/pytest $(PARALLEL)

# New examples each time, and more of them; what fails is tried again first.
test-random: .venv/.dev
	LSR_HYPOTHESIS=random $(BIN)/pytest -m hypothesis $(PARALLEL)

# Hundreds of kills and faults, ten thousand changed bytes, readers beside a writer: half an hour.
test-long: .venv/.dev
	$(BIN)/lsr warmup
	$(BIN)/pytest -m long

lint: .venv/.dev docs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# The site, in build/docs; a broken link or reference is an error. To read it: python3 -m http.server -d build/docs
docs: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

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
