# Every target does its own set-up. The text after `##` is what `make` lists.

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# The interpreter to make the environment with; the first that fits, where none is named.
PYTHON ?=
# What goes to pytest besides: make test-fast ARGS='-k stamp -x'
ARGS ?=
# What was compiled once is kept, and out of the way: tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache
# Two at a time, each with servers of its own: most of the tests wait for one. Whole files, in their order.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help .venv demo test test-fast test-compose fuzz soak lint format bench build clean

help:  ## list the targets
	@awk -F ':.*## *' '/^[.a-z-]+:.*##/ { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## the tour: guarded events, a quarantine, a changed policy, a reconciliation
	@$(VENV)/bin/streamwarden demo

test: $(READY)  ## all tests, with a real Kafka, Redis and registry where the machine has what they need
	$(PY) -m pytest $(PARALLEL) $(ARGS)

test-fast: $(READY)  ## the tests that need no server besides the embedded broker: about a minute on two cores
	$(PY) -m pytest tests/unit tests/conformance -n 5 --dist worksteal -m "not kafka and not redis and not registry and not packaging and not property and not slow" $(ARGS)

test-compose: $(READY)  ## bring docker-compose.yml up, test it from outside, and take it down; needs Docker
	@# Nothing hangs where an image is built: the limit for one test is longer than for others.
	STREAMWARDEN_TEST_COMPOSE=1 $(PY) -m pytest tests/compose --capture=no -v -o faulthandler_timeout=1800 $(ARGS)

fuzz: $(READY)  ## damage bytes of every kind for a quarter of an hour or so; ARGS='-k json' for some
	HYPOTHESIS_PROFILE=fuzz $(PY) -m pytest tests/fuzz -o faulthandler_timeout=3600 $(ARGS)

soak: $(READY)  ## kill workers and brokers for minutes, and count; ARGS='--nodes 3', or '--kills 0 --events 10000000' for memory
	$(PY) -m tests.crash $(ARGS)

lint: $(READY)  ## ruff, mypy and pyright, all of them strict
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pyright

format: $(READY)  ## let ruff repair and format what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(READY)  ## measure the hot paths; see benchmarks/
	$(PY) -m benchmarks $(ARGS)

build: $(READY)  ## an sdist, and a wheel made from it, in dist/
	$(PY) -m build

clean:  ## remove what the other targets made, the environment included
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: $(READY)  ## make or renew the environment that the other targets work in

# Renewed when pyproject.toml has changed, and only then.
$(READY): pyproject.toml
	@set -eu; \
	if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11) none; do \
	    if $$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	  done; \
	  if [ $$python = none ]; then \
	    echo "make: found no Python of 3.11 or newer; install one, or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	  fi; \
	  if ! $$python -c 'import ensurepip' 2>/dev/null; then \
	    echo "make: $$python cannot make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; \
	  fi; \
	  echo "making $(VENV) with $$($$python --version), once"; \
	  $$python -m venv --clear $(VENV); \
	fi; \
	$(PY) -m pip install --quiet --disable-pip-version-check --upgrade pip; \
	PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
	touch $@
