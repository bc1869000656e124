# Everything runs in .venv, which the first target that needs it makes. Only Python 3.11+ and make are needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
TOOLS  := .venv-tools
LOCKED := .venv-locked

.PHONY: help demo browser servers test test-jax test-ways test-all lint format fuzz peers bench lock licenses sbom audit clean

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

servers:  ## nginx, Caddy and PgBouncer, which some tests stand before the page and the store; else these are skipped
	@{ command -v nginx && command -v caddy && command -v pgbouncer; } >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	     && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light caddy pgbouncer >/dev/null; } \
	|| echo "no nginx, Caddy and PgBouncer, and no way to install them here: the tests with them will be skipped"

test: $(VENV)/installed  ## the tests of every change
	$(BIN)/python -m pytest -m 'not long' -n 2 --dist worksteal

test-jax: $(VENV)/installed  ## the tests of network, loss, training and embedding with Keras on JAX
	KERAS_BACKEND=jax $(BIN)/python -m pytest -m 'not long' -n 2 --dist worksteal \
	  tests/network tests/ranking tests/training tests/embedding

test-ways: $(VENV)/installed  ## the notebook and the ways from a folder to a result, minutes together
	$(BIN)/python -m pytest -m long -n 2 --dist worksteal \
	  tests/notebooks tests/cli/test_whole_way.py tests/cli/test_stopping.py tests/search/test_with_a_network.py

test-all: $(VENV)/installed  ## the long tests too
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/installed  ## format check, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/installed  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(VENV)/installed  ## bytes and requests from nowhere: some 300,000 in all, new ones each time
	$(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/reliability/test_fuzz.py tests/reliability/test_fuzz_web.py --timeout 7200
	$(BIN)/python tests/reliability/coverage_fuzz.py

peers:  ## .venv-peers with other tools' hashes, for benchmarks/near_duplicates.py, and other libraries' metrics beside ours
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet imagededup imagehash pdqhash
	$(PYTHON) -m venv .venv-peers/metrics
	.venv-peers/metrics/bin/python -m pip install --quiet --requirement tests/peers/requirements.txt
	PYTHONPATH=. .venv-peers/metrics/bin/python tests/peers/metrics.py

bench: $(VENV)/installed  ## the quick set of the benchmarks
	@for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script --quick || exit 1; done

# What looks at the project's packages lives apart from them, so that it is none of them.
$(TOOLS)/installed:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet cyclonedx-bom pip-audit pip-licenses uv
	@touch $@

lock: $(TOOLS)/installed  ## renew requirements.lock and requirements-dev.lock: versions and hashes of all packages
	$(UV_COMPILE) pyproject.toml --extra dev --output-file requirements-dev.lock
	$(UV_COMPILE) requirements.txt --constraint requirements-dev.lock --output-file requirements.lock

UV_COMPILE = $(TOOLS)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
             --custom-compile-command 'make lock'

$(LOCKED)/installed: requirements-dev.lock
	$(PYTHON) -m venv $(LOCKED)
	$(LOCKED)/bin/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

licenses: $(TOOLS)/installed $(LOCKED)/installed  ## renew docs/licenses.md from the locked packages
	$(TOOLS)/bin/pip-licenses --python $(LOCKED)/bin/python --from mixed --with-system --format json \
	  | $(PYTHON) .ci/licenses.py > docs/licenses.md.new
	mv docs/licenses.md.new docs/licenses.md

sbom: $(TOOLS)/installed  ## build/sbom.json, CycloneDX: what requirements.lock brings
	@mkdir -p build
	$(TOOLS)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	  --output-file build/sbom.json requirements.lock

audit:  ## known vulnerabilities of the locked packages; passed over where there is no network
	@$(PYTHON) .ci/audit.py

clean:  ## remove what the targets above made
	rm -rf $(VENV) $(TOOLS) $(LOCKED) .venv-peers build *.egg-info .pytest_cache .mypy_cache .ruff_cache demo/output
