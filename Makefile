# Two commands are enough: `make demo` and `make test`. Everything is installed in .venv, with uv if it
# is there and with venv and pip if not, at the versions in constraints.txt.

PY ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
INPUTS := pyproject.toml constraints.txt
# A process per core; a file's tests stay together, because they share what is expensive to set up.
WORKERS := -n logical --maxprocesses 8 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-bits test-accelerator test-all lint bench

help: ## print this list
	@echo "usage: make TARGET [PY=python3.12] [VENV=.venv]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.core ## train with a sparse and a dense reward, look inside the agents, write a report (minutes)
	@$(BIN)/rlkit demo

test: $(VENV)/.dev ## run the tests
	@$(BIN)/python -m pytest $(WORKERS)

test-bits: $(VENV)/.dev ## run the tests that compare bits, with vectors of 256 bits
	@XLA_FLAGS="$(XLA_FLAGS) --xla_cpu_max_isa=AVX2" $(BIN)/python -m pytest $(WORKERS) -m "bits and not slow"

test-accelerator: $(VENV)/.dev ## run the tests on a CPU that computes as an accelerator might
	@PYTHONPATH=tests $(BIN)/python -m pytest $(WORKERS) -p accelerator

test-all: $(VENV)/.all ## run all tests: learning thresholds, process kills, packaging, heavy simulators
	@$(BIN)/python -m pytest $(WORKERS)
	@$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev ## check style, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyrefly check

bench: $(VENV)/.all ## measure the speeds that README quotes
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# A stamp per set of extras; each is newer than the files it was installed from.
$(VENV)/.core: EXTRAS :=
$(VENV)/.dev: EXTRAS := [dev]
$(VENV)/.all: EXTRAS := [dev,craft,gymnax,host,nav,tb]
$(VENV)/.core $(VENV)/.dev $(VENV)/.all: $(INPUTS)
	@$(PY) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("rlkit needs Python 3.11 or newer, and $(PY) is %d.%d; name another one: make PY=python3.12 ..." % v[:2])'
	@echo "installing rlkit$(EXTRAS) in $(VENV) ..."
ifdef UV
	@test -x $(BIN)/python || uv venv --quiet --python $(PY) $(VENV)
	@uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e ".$(EXTRAS)"
else
	@test -x $(BIN)/python || $(PY) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$(EXTRAS)"
endif
	@touch $@
