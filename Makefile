# Each environment is .venv/<name>; .ci/venv knows what is in it, .ci/pythons which interpreters
# there are. PYTHON=/path/to/python narrows those to one.
MAKEFLAGS += --no-print-directory
MINUTES ?= 10
# Where a virtual environment has its programs.
BIN := $(if $(filter Windows_NT,$(OS)),Scripts,bin)

# Asked when a recipe needs them: `make help` and `make clean` need no Python.
VERSIONS = $(or $(shell PYTHON='$(PYTHON)' sh .ci/pythons | cut -d' ' -f1),$(error no interpreter))
LOWEST = $(firstword $(VERSIONS))
# The slow tests are neighbours: who is done with the quick ones takes some of them.
SPREAD = --numprocesses auto --dist worksteal

.PHONY: help demo playground bench lint quick test test-all test-floors fuzz simulate check docs
.PHONY: docs-find venvs clean
.PRECIOUS: .venv/%/ready

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/demo/ready ## the main job, step by step, then a fleet and its failures
	.venv/demo/$(BIN)/python -m examples.demo
	.venv/demo/$(BIN)/python -m examples.fleet_demo

playground: .venv/playground/ready ## a page to try the library with
	.venv/playground/$(BIN)/python -m examples.playground

lint: .venv/lint/ready ## style, in seconds
	.venv/lint/$(BIN)/ruff check
	.venv/lint/$(BIN)/ruff format --check

quick: .venv/quick/ready ## the tests that need no server, in a minute
	.venv/quick/$(BIN)/python -m pytest $(SPREAD) -m 'not full'

test: ## all tests, on the lowest Python here (or PYTHON=...)
	@$(MAKE) test-$(LOWEST)

test-all: ## all tests, on every Python here, and on the oldest dependencies
	@$(MAKE) --keep-going $(VERSIONS:%=test-%) test-floors

test-floors: .venv/floors/ready ## the tests on the oldest dependencies that are declared
	.venv/floors/$(BIN)/python -m pytest $(SPREAD) -m 'not once' --ignore=tests/fleet

# Coverage doubles the time, and each line is reached on each Python: the lowest one counts.
test-%: .venv/%/ready
	COVERAGE_FILE='$(CURDIR)/.venv/$*/coverage' .venv/$*/$(BIN)/python -m pytest $(SPREAD) \
		$(if $(filter $(LOWEST),$*),--cov,-m 'not once')

fuzz: ## random tests with new seeds, for MINUTES=10
	@$(MAKE) .venv/$(LOWEST)/ready
	.venv/$(LOWEST)/$(BIN)/python tests/fuzz.py $(MINUTES)

simulate: ## fleets under virtual time, at random, for MINUTES=10
	@$(MAKE) .venv/$(LOWEST)/ready
	.venv/$(LOWEST)/$(BIN)/python -m tests.simulation --minutes $(MINUTES)

check: lint .venv/check/ready .venv/demo/ready ## style, types, import contracts, house rules
	.venv/check/$(BIN)/mypy
	.venv/check/$(BIN)/basedpyright --pythonpath .venv/check/$(BIN)/python
	.venv/check/$(BIN)/lint-imports --no-logo
	.venv/check/$(BIN)/python -m pytest --quiet tests/house
	@# No web framework is installed there.
	.venv/demo/$(BIN)/python -W error -c "import auth_jwks, auth_jwks.testing, auth_jwks.asgi, auth_jwks.cloudflare, auth_jwks.sync"

docs: .venv/docs/ready ## the documentation as a site, in build/site
	.venv/docs/$(BIN)/python -m tools.site

docs-find: docs ## what a reader finds on it, by clicks and by its search, in Chromium
	.venv/docs/$(BIN)/python -m tools.site.questions

BENCH := bench bench-040 bench-old bench-peers bench-start
bench: $(BENCH:%=.venv/%/ready) ## the benchmarks, in a quarter of an hour; NAME=verify runs one
	.venv/bench/$(BIN)/python -m benchmarks $(NAME)

venvs: ## the environments of test-all
	@$(MAKE) $(VERSIONS:%=.venv/%/ready) .venv/floors/ready

clean: ## removes what was installed, cached and built
	rm -rf .venv .hypothesis .*_cache .cache build dist

.venv/%/ready: pyproject.toml src/auth_jwks/_version.py .ci/venv .ci/floors.py
	@PYTHON='$(PYTHON)' sh .ci/venv $*
