PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := .bench/venv

# Test processes for two cores: while one waits, the two others run.
WORKERS ?= 3

.DEFAULT_GOAL := help

help:  ## print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

env: $(STAMP)  ## create the environment in .venv

demo: .demo/.installed  ## tour the command line on SQLite, without any setup
	.demo/bin/boocode-sessions demo

.demo/.installed: pyproject.toml
	$(PYTHON) -m venv .demo
	.demo/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[cli]"
	@touch $@

chat: $(STAMP)  ## chat in the browser at http://127.0.0.1:8000, with an agent for each chat
	$(BIN)/python -m examples.chat_app

check: lint audit  ## lint, check types, and look for known vulnerabilities in the dependencies

lint: $(STAMP)  ## only lint and check types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

audit: $(STAMP)  ## look for known vulnerabilities in the dependencies, lowest versions included; names what it can't check
	$(BIN)/python -m pip install --quiet "pip-audit>=2.9"
	$(BIN)/python .ci/audit.py

prices: $(STAMP)  ## compare the bundled list prices with those of the SDK's bundled agent
	$(BIN)/python .ci/prices.py

docs: $(STAMP)  ## build the documentation site in build/site
	$(BIN)/python -m pip install --quiet --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(BENCH)/.installed  ## measure against the peers and write docs/performance.md (some 20 minutes)
	$(BENCH)/bin/python -m benchmarks --write

$(BENCH)/.installed: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BENCH)/bin/python -m pip install --quiet --editable . --group bench
	@touch $@

test: $(STAMP)  ## run every test on PostgreSQL and SQLite
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

release:  ## build sdist and wheel, check both, and run every test on the wheel
	rm -rf dist .release
	$(PYTHON) -m venv .release/venv
	.release/venv/bin/python -m pip install --quiet --upgrade "pip>=25.1" build twine check-wheel-contents
	.release/venv/bin/python -m build
	.release/venv/bin/twine check --strict dist/*
	.release/venv/bin/check-wheel-contents dist/*.whl
	.release/venv/bin/python -m pip install --quiet dist/*.whl --group test
	mkdir .release/tree
	git ls-files | grep -v '^boocode_sessions/' | xargs cp --parents -t .release/tree
	cd .release/tree && ../venv/bin/python -m pytest -n $(WORKERS) --dist loadgroup $(TESTS)

RELIABILITY := tests/concurrency tests/faults tests/pgbouncer tests/privacy tests/replicas tests/property/test_any_json_value.py

reliability: $(STAMP)  ## run the concurrency and fault tests three times as long, and print their counts
	SOAK=3 $(BIN)/python -m pytest -n 0 -q $(RELIABILITY)

soak: $(STAMP)  ## run the concurrency, fault and property tests fifteen times as long (SOAK=15, some 20 minutes)
	SOAK=$${SOAK:-15} $(BIN)/python -m pytest -n 0 -q --timeout 600 tests/concurrency tests/faults tests/property

services:  ## install PgBouncer and Chromium from system packages, for the tests that need them; needs root
	@command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || \
		{ apt-get update -q && apt-get install -q -y --no-install-recommends pgbouncer; } || \
		echo "PgBouncer can't be installed here: tests/pgbouncer will be skipped"
	@command -v chromium >/dev/null || \
		{ apt-get update -q && apt-get install -q -y --no-install-recommends chromium; } || \
		echo "Chromium can't be installed here: tests/agents/test_chat_app.py will be skipped"

test-lowest:  ## run every test with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python .ci/lowest.py > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/lowest.txt --editable . --group test
	.venv-lowest/bin/pytest -n $(WORKERS) --dist loadgroup $(TESTS)

test-matrix:  ## run every test with SQLAlchemy 2.0 and 2.1
	for version in 2.0 2.1; do \
		$(PYTHON) -m venv .venv-$$version && \
		.venv-$$version/bin/python -m pip install --quiet --upgrade "pip>=25.1" && \
		.venv-$$version/bin/python -m pip install --quiet --editable . --group test "sqlalchemy==$$version.*" && \
		.venv-$$version/bin/pytest -n $(WORKERS) --dist loadgroup $(TESTS) || exit 1; \
	done

clean:  ## remove the environments, builds and caches
	rm -rf $(VENV) .venv-* .demo .release .bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help env demo chat check lint audit prices docs bench test release reliability soak services test-lowest test-matrix clean
