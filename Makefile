# The two commands of the README are `make run` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
comma := ,
# Kernels are compiled and disassembled where NVIDIA's wheels exist: Linux on x86-64.
EXTRAS := [accuracy,tune$(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),$(comma)gpu$(comma)sass,)]
# pip would compile all that it installs, half a minute's work for what is mostly never imported:
# Python compiles what is, and must be let keep it.
PIP := $(BIN)/pip install --quiet --no-compile
export PYTHONDONTWRITEBYTECODE :=
# A file's tests share what was made for them: they run on one worker, in the order of the files.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
CORE := CMakeLists.txt pyproject.toml $(wildcard csrc/*/*)

.DEFAULT_GOAL := help
.PHONY: help run test test-all check mypy pyright bench accuracy gpu dev docs wheel clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.core  ## the main job on real input; writes report/index.html
	$(BIN)/moesaic run examples/first_light.toml --out report

test: $(VENV)/.core  ## the tests, under ten minutes on two cores
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.core  ## every test, and the C++ core under sanitizers
	$(BIN)/pytest -n 2
	CXX=$${CXX:-c++} bash csrc/sanitize.sh

check: $(VENV)/.dev  ## ruff, mypy --strict, pyright
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@# The core is compiled meanwhile, for the tests that mostly follow.
	$(MAKE) --no-print-directory --jobs 3 mypy pyright $(VENV)/.core

mypy: $(VENV)/.dev
	$(BIN)/mypy

pyright: $(VENV)/.dev
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

accuracy: $(VENV)/.core  ## every model against every recorded table; writes docs/accuracy.md and README's table
	$(BIN)/python bench/accuracy/write.py

bench: $(VENV)/.core  ## ratios against peers and limits; writes docs/benchmarks.md
	$(BIN)/python bench/run.py --out docs/benchmarks.md

gpu: $(VENV)/.core  ## on a machine with a GPU: every kernel checked and timed, a survey, the model fitted anew; writes report/gpu
	$(BIN)/moesaic kernel check --on gpu --all --out report/gpu/checked.json
	$(BIN)/moesaic tune survey --out report/gpu

dev: $(VENV)/.core $(VENV)/.dev  ## everything a developer needs, with the hooks
	$(BIN)/pre-commit install

docs: $(VENV)/.core $(VENV)/.dev  ## the documentation site
	$(PIP) --group docs
	$(BIN)/sphinx-build --quiet -W --keep-going docs docs/_build

wheel: $(VENV)/.core
	$(BIN)/pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf build dist report docs/_build $(VENV) .types

$(VENV)/.packages: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: install python3.11 (or set PYTHON=...)"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null \
	  || { echo "A C++17 compiler is needed: install g++ (or set CXX=...)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is needed: install python3-venv"; exit 1; }
	$(PIP) --upgrade pip
	$(PIP) --group build --group test
	$(PIP) --no-build-isolation --only-deps '.$(EXTRAS)'
	@touch $@

$(VENV)/.core: $(VENV)/.packages $(CORE)
	$(PIP) --no-build-isolation --editable '.$(EXTRAS)'
	@touch $@

# The link lets type checkers follow the name that the installed package bears.
$(VENV)/.dev: $(VENV)/.packages
	$(PIP) --group dev
	@mkdir -p .types && ln -sfn .. .types/moesaic
	@touch $@
