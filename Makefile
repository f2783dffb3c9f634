# Each interpreter has its own .venv/<X.Y>; PYTHON=/path/to/python narrows the lot to one.
VERSIONS := $(shell PYTHON='$(PYTHON)' sh .ci/pythons | cut -d' ' -f1)
LOWEST := $(firstword $(VERSIONS))
ifeq ($(LOWEST),)
$(error no Python >= 3.11 with the venv module here (Debian: apt install python3-venv))
endif
BIN := .venv/$(LOWEST)/bin
VENVS := demo bench $(VERSIONS)

.PHONY: demo bench test check clean $(VERSIONS:%=test-%)

demo: .venv/demo/ready
	.venv/demo/bin/python examples/demo.py
	.venv/demo/bin/python -m examples.fleet_demo

bench: .venv/bench/ready
	.venv/bench/bin/python -m benchmarks.fleet

test: $(VERSIONS:%=test-%)

$(VERSIONS:%=test-%): test-%: .venv/%/ready
	COVERAGE_FILE='$(CURDIR)/.venv/$*/coverage' .venv/$*/bin/python -m pytest --cov --numprocesses auto

check: .venv/$(LOWEST)/ready .venv/demo/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo
	.venv/demo/bin/python -W error -c "import auth_jwks, auth_jwks.testing"

clean:
	rm -rf .venv .hypothesis .*_cache dist

$(VENVS:%=.venv/%/bin/python): .venv/%/bin/python:
	"$$(sh .ci/pythons $(or $(filter $*,$(VERSIONS)),$(LOWEST)))" -m venv --clear .venv/$*

$(VENVS:%=.venv/%/ready): .venv/%/ready: pyproject.toml .venv/%/bin/python
	.venv/$*/bin/python -m pip install -qq --upgrade pip
	.venv/$*/bin/python -m pip install -qq --editable . --group $(or $(filter demo bench,$*),dev)
	touch $@
