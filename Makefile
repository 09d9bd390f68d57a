# A newcomer's two commands: `make run` and `make test`. Both create .venv, and use it again.
PYTHON ?= python3
BIN := .venv/bin
PYTEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-lowest test-newest simulate planted lint format bench bench-table dist audit docs-site screenshot docs lock program clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9_-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Exit code 3 is the lab's truth: two of its devices give no credible answer, on purpose.
run: .venv/ready ## Read the embedded lab's fleet, write to its ledger, show the report
	@$(BIN)/dzbgp run --inventory inventory --lab || [ $$? -eq 3 ]

test: .venv/ready ## Run the tests; the last lines name Debian packages that some of them lack
	$(BIN)/pytest -n $(PYTEST_WORKERS)

test-all: .venv/ready ## Run every test; fail if a Debian package is missing
	@missing=$$($(BIN)/python tests/debian.py) || { echo "missing: apt-get install $$missing" >&2; exit 1; }
	CI=true $(BIN)/pytest -n $(PYTEST_WORKERS)

# What stands closest to the libraries that dzbgp uses.
FAST := tests/cli/test_cli.py tests/cli/test_config.py tests/console tests/eos tests/fleet tests/ledger/rpc \
	tests/ledger/program tests/metrics tests/report --ignore=tests/fleet/dask

test-lowest: .venv/ready ## Run the fast tests on the oldest releases that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/lowest
	$(BIN)/uv pip install --quiet --python .venv/lowest/bin/python --resolution lowest-direct --group dev -r pyproject.toml
	$(BIN)/uv pip install --quiet --python .venv/lowest/bin/python --no-deps --no-build-isolation --editable .
	.venv/lowest/bin/python -m pytest -q -n $(PYTEST_WORKERS) -p no:cacheprovider $(FAST)

# Beyond the cap in pyproject.toml, which is what keeps such a release away from those who install dzbgp.
test-newest: .venv/ready ## Run the tests of devices on the newest NAPALM there is, pre-releases too
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/newest
	$(BIN)/uv pip install --quiet --python .venv/newest/bin/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python .venv/newest/bin/python --upgrade-package napalm 'napalm>=0.dev0'
	$(BIN)/uv pip install --quiet --python .venv/newest/bin/python --no-deps --no-build-isolation --editable .
	@$(BIN)/uv pip list --python .venv/newest/bin/python | grep '^napalm '
	.venv/newest/bin/python -m pytest -q -n $(PYTEST_WORKERS) -p no:cacheprovider \
		tests/eos tests/tasks tests/fleet --ignore=tests/fleet/dask

SIMULATE = $(if $(SEED),--seed $(SEED),--seconds $$((60 * $(or $(MINUTES),10))))

simulate: .venv/ready ## Simulate fresh seeds for MINUTES, or one SEED
	PYTHONPATH=tests $(BIN)/python -m simulation $(SIMULATE)

planted: .venv/ready ## Plant bugs in the program, and print how many seeds find each
	PYTHONPATH=tests $(BIN)/python -m simulation --planted --seconds 300

lint: .venv/ready ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: .venv/ready ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/bench ## Print the benchmarks
	$(BIN)/python -m tests.bench $(BENCH)

bench-table: .venv/bench ## Measure again, and keep the figures in docs/performance.md
	$(BIN)/python -m tests.bench $(BENCH) --page docs/performance.md || [ $$? -eq 1 ]

.venv/bench: .venv/ready requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bench.txt
	@touch $@

dist: .venv/release ## Build wheel and sdist into dist/, and check them
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

audit: .venv/release ## Ask for known vulnerabilities of what a run needs
	$(BIN)/pip-audit --disable-pip --require-hashes -r requirements/run.txt

# --quiet would also keep --strict from counting warnings.
docs-site: .venv/docs ## Build the documentation's site into build/site
	$(BIN)/mkdocs build --strict

.venv/docs .venv/release: .venv/%: requirements/%.txt .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

screenshot: .venv/ready ## Make docs/run.svg again from a run on the lab
	$(BIN)/python -m tests.screenshot docs/run.svg

program: .venv/ready ## Build the lab's onchain program again (needs clang)
	$(BIN)/python -m dzbgp.lab.solana.program.build

docs: .venv/ready ## Make docs/configuration.md again from the commands
	$(BIN)/python tests/docs/configuration_page.py docs/configuration.md

lock: .venv/ready ## Resolve the requirements again, with hashes and without index URLs
	$(LOCK) --output-file requirements/run.txt pyproject.toml
	$(LOCK) --group dev --constraint requirements/run.txt --output-file requirements/dev.txt pyproject.toml
	$(LOCK) --group docs --constraint requirements/dev.txt --output-file requirements/docs.txt
	$(LOCK) --group release --constraint requirements/dev.txt --output-file requirements/release.txt
	$(LOCK) --group bench --no-deps --output-file requirements/bench.txt

# One resolution for every Python and platform, as pip reads it.
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links

.venv/ready: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## Remove what the other targets made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
