# Each target does all its own set-up; as root and not. CI calls `test`, then `test-all`.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all prove bench capture lint format lock

PY := .venv/bin/python
# A file of tests stays together, for what it has recorded once serves all of them; most tests wait more than they work.
SIDE_BY_SIDE := --dist loadfile --no-loadscope-reorder

help:
	@echo "make demo              crawl a friendly local site, capture two videos, catch a forged byte"
	@echo "make test              lint, types, import contracts, tests (at most 10 minutes)"
	@echo "make test-all          also foreign servers (WordPress), strangers' verifiers, long kills, scaled-down proofs"
	@echo "make prove             full figures, written to docs/results/"
	@echo "make bench             recording beside the bare tools and other recorders: docs/benchmarks.md"
	@echo "make capture URL=…     secure a URL now"
	@echo "make setup             what the others do first; quick when nothing changed"

setup:
	@tools/setup

demo: setup
	@$(PY) tools/demo.py

test: setup lint
	@$(PY) -m pytest -n 3 $(SIDE_BY_SIDE) -m "not slow" --cov --cov-report=term:skip-covered

test-all: setup
	@tests/wordpress/setup
	@tests/postgres/setup
	@tests/replay/setup
	@tests/independent/setup
	@benchmarks/recording/setup quick
	@$(PY) -m pytest -n 2 $(SIDE_BY_SIDE) -m slow
	@$(PY) -m benchmarks.recording --quick --assert
	@$(PY) -m benchmarks.ledger --max 4 --quick --assert

prove: setup
	@tests/wordpress/setup
	@tests/independent/setup
	@benchmarks/recording/setup
	@$(PY) -m benchmarks.prove

bench: setup
	@benchmarks/recording/setup
	@$(PY) -m benchmarks.recording

capture: setup
	@test -n "$(URL)" || { echo "make capture URL=https://…"; exit 2; }
	@.venv/bin/akashi capture "$(URL)"

lint:
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo > .import_linter.log || { cat .import_linter.log; exit 1; }

format: setup
	@.venv/bin/ruff check --fix --quiet || true
	@.venv/bin/ruff format --quiet

# After changing a dependency in pyproject.toml. What is locked stays as it is, unless UPGRADE=--upgrade.
lock:
	@.tools/bin/uv --no-config pip compile --quiet $(UPGRADE) --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml --output-file requirements.lock
	@rm -rf .wheels && .tools/bin/python -m pip download -q --require-hashes --no-deps --only-binary :all: -d .wheels -r requirements.lock
	@.tools/bin/uv lock
