# make demo   install into .venv and run the whole way on real data (a few minutes, most of it the download of torch)
# make test   install what the tests need and run every test
# make check  what contributors run before they hand in: format, lint, types, tests, docs, wheel
#
# PYTHON=python3.12    another interpreter for the environment
# PIP_ARGS=...         handed to every `pip install`, for instance, on Linux without a GPU,
#                      PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" saves gigabytes
# TEST_ARGS=...        handed to pytest, for instance TEST_ARGS="-k engine -x"
# JOBS=...             tests at a time, one a core unless said

PYTHON ?= python3
PIP_ARGS ?=
TEST_ARGS ?=
JOBS ?= auto

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet $(PIP_ARGS) -c constraints.txt
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
# asked for by itself and exactly, so that pip takes a CPU wheel where its index offers one
TORCH := $(shell grep '^torch==' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help install demo test fast check format-check lint types docs wheel format clean
.SUFFIXES:

help:
	@sed -n '/^# make/s/^# //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("cotrain needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; say PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/.torch: constraints.txt | $(BIN)/python
	@echo "installing $(TORCH) into .venv"
	@$(PIP) "$(TORCH)"
	@touch $@

.venv/.user: .venv/.torch pyproject.toml constraints.txt
	@echo "installing cotrain into .venv"
	@$(PIP) -e .
	@touch $@

.venv/.dev: .venv/.user
	@echo "installing what the tests, the checks and the docs need into .venv"
	@$(PIP) -e '.[dev]'
	@touch $@

install: .venv/.user

demo: .venv/.user
	@$(BIN)/cotrain demo

test: .venv/.dev
	$(PYTEST) $(TEST_ARGS)

fast: .venv/.dev
	$(PYTEST) -m "not slow" $(TEST_ARGS)

format-check: .venv/.dev
	$(BIN)/ruff format --check .

lint: .venv/.dev
	$(BIN)/ruff check .

types: .venv/.dev
	$(BIN)/mypy

docs: .venv/.dev
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/methods.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: .venv/.dev
	$(BIN)/python -m build --wheel --outdir dist

check: format-check lint types test docs wheel

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
