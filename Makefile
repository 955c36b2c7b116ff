# Every target does its own set-up; the text after `##` is what `make` lists.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# The interpreter to make the environment with; the first that fits otherwise.
PYTHON ?=

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

.venv: $(READY)  ## make the environment in .venv, with everything that the other targets need

# Made again when pyproject.toml changed, and only then.
$(READY): pyproject.toml
	@set -eu; \
	if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 none; do \
	    ! $$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || break; \
	  done; \
	  if [ $$python = none ]; then \
	    echo "make: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	  fi; \
	  if ! $$python -c 'import ensurepip' 2>/dev/null; then \
	    echo "make: $$python has no ensurepip; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; \
	  fi; \
	  $$python -m venv --clear $(VENV); \
	fi
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --editable '.[dev]'
	@touch $@
