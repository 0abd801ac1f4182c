# Two commands are enough: `make up` and `make test`. The rest is for those who work on it.

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 up` names another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Test processes side by side, each with servers of its own.
JOBS ?= 3

# Options for the command behind a target, as in `make bench ARGS="--rows 1000000"`.
ARGS ?=

# Simulated clients of `make load`, and for how long.
USERS ?= 50
DURATION ?= 30s

# Worlds of `make simulate`.
SEEDS ?= 200

# Seconds of `make fuzz`, and where its cases come from.
SECONDS ?= 300
SEED ?= 1

# What the caller's shell is set up for is not for .venv: pip must install into it, and Python find nothing elsewhere.
export PIP_USER := 0
export PYTHONNOUSERSITE := 1
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_VIRTUALENV PYTHONPATH PYTHONHOME PYTHONSTARTUP

bin := .venv/bin

# What running needs, and beside it what developing does.
installed := .venv/.installed
equipped := .venv/.equipped

.DEFAULT_GOAL := help
.PHONY: help up test campaign plans check format bench replay load verify simulate fuzz settings clean lock

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(installed) ## Start everything on this machine; Ctrl-C stops it, the data stays in .tidegate
	@exec $(bin)/tidegate up

test: $(equipped) ## Run all tests, on servers of their own (JOBS=3 side by side; ARGS for pytest)
	$(bin)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not campaign and not plans" $(ARGS)

campaign: $(equipped) ## Run the tests that take too long for every day: faults under load, other people's tools, packages
	$(bin)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m campaign $(ARGS)

plans: $(equipped) ## Run the suite's core, and a shop of 100,000 orders, under every way that Postgres may plan: hours
	$(bin)/pytest -n $(JOBS) --dist load -m plans $(ARGS)

check: $(equipped) ## Lint, format, types and import rules, without changing anything
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports

format: $(equipped) ## Format the code, and mend what the linter can mend
	$(bin)/ruff check --fix
	$(bin)/ruff format

bench: $(equipped) ## Measure, and print the table of targets (ARGS for `tidegate bench`)
	$(bin)/tidegate bench $(ARGS)

replay: $(installed) ## Place the shipped real orders against a system of its own, at full speed
	$(bin)/python -m ops.system $(bin)/tidegate replay loadtests/data/online_retail_2010-12_2011-02.csv.gz \
		--speed max --url {url} $(ARGS)

load: $(equipped) ## Locust, headless, against a system of its own (USERS=50 DURATION=30s; ARGS for locust)
	$(bin)/python -m ops.system $(bin)/locust --locustfile loadtests/locustfile.py --headless \
		--host {url} --users $(USERS) --spawn-rate $(USERS) --run-time $(DURATION) --only-summary $(ARGS)

verify: $(installed) ## Fold the event log of the running `make up`, and compare it with every table
	@$(bin)/tidegate verify $(ARGS)

simulate: $(equipped) ## Run the seeded simulation at length (SEEDS=200; ARGS as in `--start 1 --keep-going`)
	$(bin)/python -m tests.simulation.run --seeds $(SEEDS) $(ARGS)

settings: $(installed) ## Write the tables of docs/settings.md anew, after a change to runtime/settings/
	@mkdir -p build
	@{ sed '/^## /,$$d' docs/settings.md; $(bin)/python -m runtime.settings; } > build/settings.md
	@mv build/settings.md docs/settings.md

fuzz: $(equipped) ## Hold every answer of the API against its OpenAPI document (SECONDS=300 SEED=1)
	$(bin)/python -m tests.fuzz.run --seconds $(SECONDS) --seed $(SEED) $(ARGS)

clean: ## Remove what was built and installed; the data in .tidegate stays
	rm -rf .venv build *.egg-info .hypothesis .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## Write constraints.txt anew with the newest versions
	$(call require-python)
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --disable-pip-version-check ./tidegate '.[dev]'
	{ sed '/^[^#]/d' constraints.txt; build/lock/bin/python -m pip freeze --exclude tidegate --exclude tidegate-client; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/lock

define require-python
@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name one with PYTHON=..."; exit 1; }
endef

define install
$(bin)/python -m pip install --disable-pip-version-check -c constraints.txt -e ./tidegate -e '$(1)'
@touch $@
endef

# Debian and Ubuntu keep what `venv` needs for pip in a package of its own; a pip outside can stand in for it.
$(installed): pyproject.toml tidegate/pyproject.toml tidegate/VERSION constraints.txt
	$(call require-python)
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv \
		|| { $(PYTHON) -m venv --without-pip --clear .venv && $(PYTHON) -m pip --python $(bin)/python install pip; } \
		|| { echo "Python's venv or pip is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(call install,.[embedded])

$(equipped): $(installed)
	$(call install,.[dev])
