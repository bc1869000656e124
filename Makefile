# Everything runs in .venv, which the first target that needs it makes. Only Python 3.11+ and make are needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help demo browser test test-all lint format bench clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | column -t -s '|'

$(VENV)/installed: pyproject.toml requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed  ## draw a small data set, sample, train, compare; ends with a picture
	$(BIN)/python demo/demo.py

browser:  ## Chromium for the tests of the page, from Debian where this may install it; else they are skipped
	@command -v chromium chromium-browser >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	     && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; } \
	|| echo "no Chromium and no way to install it here: the tests of the page in a browser will be skipped"

test: $(VENV)/installed  ## the tests of every change
	$(BIN)/python -m pytest -m 'not long' -n 2 --dist worksteal

test-all: $(VENV)/installed  ## the long tests too
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/installed  ## format check, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/installed  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed  ## the quick set of the benchmarks
	@for script in $(filter-out benchmarks/outcome.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script --quick || exit 1; done

clean:  ## remove what the targets above made
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache demo/output
