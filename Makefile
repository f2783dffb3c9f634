# Each interpreter has its own .venv/<X.Y>; PYTHON=/path/to/python narrows the lot to one.
VERSIONS := $(shell PYTHON='$(PYTHON)' sh .ci/pythons | cut -d' ' -f1)
LOWEST := $(firstword $(VERSIONS))
ifeq ($(LOWEST),)
$(error no Python >= 3.11 with the venv module here (Debian: apt install python3-venv))
endif
BIN := .venv/$(LOWEST)/bin
VENVS := demo playground bench $(VERSIONS)
# Other libraries, on the newest interpreter; old is auth-jwks 0.4.0, of our import name.
PEERS := peers old
# Tests that say the same on every interpreter: of programs that the lowest one runs, of the files
# of this tree, and the search through every order of a pure function's calls.
ONCE := benchmark* *demo* compose* house_rules* packaging* gate_machine*

.PHONY: demo playground bench test check venvs clean $(VERSIONS:%=test-%)

demo: .venv/demo/ready
	.venv/demo/bin/python examples/demo.py
	.venv/demo/bin/python -m examples.fleet_demo

playground: .venv/playground/ready
	.venv/playground/bin/python -m examples.playground

bench: .venv/bench/ready .venv/bench-040/ready $(PEERS:%=.venv/bench-%/ready)
	@# One that misses a target keeps no other from being run.
	@failed=0; run() { .venv/bench/bin/python -m "benchmarks.$$@" || failed=1; }; \
	run fleet; \
	run backends; \
	run scale; \
	run verify $(foreach each,$(PEERS),--$(each)=.venv/bench-$(each)/bin/python); \
	run refresh; \
	run start; \
	run middleware; \
	run threads; \
	run web; \
	run page; \
	exit $$failed

test: $(VERSIONS:%=test-%)

$(VERSIONS:%=test-%): test-%: .venv/%/ready
	@# The slow tests are neighbours: who is done with the quick ones takes some of them.
	COVERAGE_FILE='$(CURDIR)/.venv/$*/coverage' .venv/$*/bin/python -m pytest --cov \
		--numprocesses auto --dist worksteal \
		$(if $(filter $(LOWEST),$*),,$(ONCE:%=--ignore-glob='*/test_%'))

check: .venv/$(LOWEST)/ready .venv/demo/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo
	@# No web framework is installed there.
	.venv/demo/bin/python -W error -c "import auth_jwks, auth_jwks.testing, auth_jwks.asgi, auth_jwks.cloudflare, auth_jwks.sync"

venvs: .venv/demo/ready $(VERSIONS:%=.venv/%/ready)

clean:
	rm -rf .venv .hypothesis .*_cache dist

$(VENVS:%=.venv/%/bin/python): .venv/%/bin/python:
	"$$(sh .ci/pythons $(or $(filter $*,$(VERSIONS)),$(LOWEST)))" -m venv --clear .venv/$*

$(VENVS:%=.venv/%/ready): .venv/%/ready: pyproject.toml .venv/%/bin/python
	.venv/$*/bin/python -m pip install -qq --upgrade pip
	.venv/$*/bin/python -m pip install -qq --editable . --group $(or $(filter demo playground bench,$*),dev) $(if $(filter $(LOWEST),$*),--group floors)
	touch $@

$(PEERS:%=.venv/bench-%/bin/python): .venv/bench-%/bin/python:
	"$$(sh .ci/pythons $(lastword $(VERSIONS)))" -m venv --clear .venv/bench-$*

# A compiled peer may have no wheel here; the benchmark says who is missing.
$(PEERS:%=.venv/bench-%/ready): .venv/bench-%/ready: pyproject.toml .venv/bench-%/bin/python
	.venv/bench-$*/bin/python -m pip install -qq --upgrade pip
	.venv/bench-$*/bin/python -m pip install -qq $(if $(filter peers,$*),--editable .) --group bench-$*
	-$(if $(filter peers,$*),.venv/bench-$*/bin/python -m pip install -qq --only-binary :all: --group bench-compiled)
	touch $@

# On the interpreter of ours, and behind the same server.
.venv/bench-040/ready: pyproject.toml
	"$$(sh .ci/pythons $(LOWEST))" -m venv --clear .venv/bench-040
	.venv/bench-040/bin/python -m pip install -qq --upgrade pip
	.venv/bench-040/bin/python -m pip install -qq --group bench-old --group bench-web
	touch $@
