# Two commands are enough: `make up` and `make test`. The rest is for developers of Tidegate.

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 up` names another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Test processes side by side, each with servers of its own.
JOBS ?= 3

# Options for the command behind a target, as in `make bench ARGS="--rows 1000000"`.
ARGS ?=

# What `make load` runs, and what replaces the scenario's own idea of its users, arrivals a second, and length.
SCENARIO ?=
USERS ?=
RATE ?=
DURATION ?=

# Worlds of `make simulate`.
SEEDS ?= 200

# Checkouts of `make money`.
CHECKOUTS ?= 3000

# Seconds of `make fuzz`, and where its cases, and those of `make chaos` and `make money`, come from.
SECONDS ?= 300
SEED ?= 1

# The caller's shell must not affect .venv: pip must install into it, and Python must find nothing elsewhere.
export PIP_USER := 0
export PYTHONNOUSERSITE := 1
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_VIRTUALENV PYTHONPATH PYTHONHOME PYTHONSTARTUP

# Nor may it make every process compile its code anew: images of Python for containers often set this.
unexport PYTHONDONTWRITEBYTECODE

bin := .venv/bin

# The packages for running, and those for development as well.
installed := .venv/.installed
equipped := .venv/.equipped

.DEFAULT_GOAL := help
.PHONY: help up test campaign plans check format bench bench-peers replay load verify simulate chaos money fuzz settings metrics clean lock

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(installed) ## Start everything on this machine; Ctrl-C stops it, the data stays in .tidegate
	@exec $(bin)/tidegate up

test: $(equipped) ## Run all tests, on servers of their own (JOBS=3 side by side; ARGS for pytest)
	$(bin)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not campaign and not plans" $(ARGS)

campaign: $(equipped) ## Run the tests too slow for every day: faults under load, other people's tools, packages, many examples
	$(bin)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m campaign $(ARGS)
	$(if $(ARGS),,$(bin)/pytest -n $(JOBS) -m "hypothesis and not campaign and not plans" --hypothesis-profile campaign)

plans: $(equipped) ## Run the suite's core, and a shop of 100,000 orders, under every plan that Postgres may choose: takes hours
	$(bin)/pytest -n $(JOBS) --dist load -m plans $(ARGS)

check: $(equipped) ## Lint, format, types and import rules, without changing anything
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports

format: $(equipped) ## Format the code, and fix what the linter can fix
	$(bin)/ruff check --fix
	$(bin)/ruff format

bench: $(equipped) ## Measure, and print the table of targets (ARGS for `tidegate bench`)
	$(bin)/tidegate bench $(ARGS)

bench-peers: $(equipped) ## Measure whole checkouts beside Vendure's, which comes from the npm registry (ARGS=--quick)
	$(bin)/python -m loadtests.peers $(ARGS)

replay: $(installed) ## Place the shipped real orders against a system of its own, at full speed
	$(bin)/python -m ops.system $(bin)/tidegate replay loadtests/data/online_retail_2010-12_2011-02.csv.gz \
		--speed max --url {url} $(ARGS)

load: $(equipped) ## List the load tests, or run one, with its verdict (SCENARIO=flash_sale; USERS, RATE, DURATION=60s; ARGS for locust)
	@$(bin)/tidegate load $(SCENARIO) $(if $(SCENARIO),$(if $(USERS),--users $(USERS)) \
		$(if $(RATE),--rate $(RATE)) $(if $(DURATION),--run-time $(DURATION)) $(ARGS))

verify: $(installed) ## Fold the event log of the running `make up`, and compare it with every table
	@$(bin)/tidegate verify $(ARGS)

simulate: $(equipped) ## Run the seeded simulation at length (SEEDS=200; ARGS as in `--start 1 --keep-going`)
	$(bin)/python -m tests.simulation.run --seeds $(SEEDS) $(ARGS)

settings: $(installed) ## Regenerate the tables of docs/settings.md, after a change to runtime/settings/
	@mkdir -p build
	@{ sed '/^## /,$$d' docs/settings.md; $(bin)/python -m runtime.settings; } > build/settings.md
	@mv build/settings.md docs/settings.md

metrics: $(installed) ## Regenerate the tables of docs/metrics.md, after a change to runtime/metrics/
	@mkdir -p build
	@{ sed '/^## /,$$d' docs/metrics.md; $(bin)/python -m runtime.metrics; } > build/metrics.md
	@mv build/metrics.md docs/metrics.md

chaos: $(equipped) ## Break a whole system in an order that a seed decides (SEED=1; ARGS as in `--seeds 10 --seconds 60`)
	$(bin)/python -m tests.chaos.run --seed $(SEED) $(ARGS)

money: $(equipped) ## Sell against a hostile payment provider while everything is killed in turn (CHECKOUTS=3000 SEED=1)
	$(bin)/python -m tests.money.run --checkouts $(CHECKOUTS) --seed $(SEED) $(ARGS)

fuzz: $(equipped) ## Check every response of the API against its OpenAPI document (SECONDS=300 SEED=1)
	$(bin)/python -m tests.fuzz.run --seconds $(SECONDS) --seed $(SEED) $(ARGS)

clean: ## Remove everything built and installed; the data in .tidegate stays
	rm -rf .venv build *.egg-info .hypothesis .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## Regenerate constraints.txt with the newest versions
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

# Debian and Ubuntu ship the part of `venv` that installs pip in a separate package; a pip outside can replace it.
$(installed): pyproject.toml tidegate/pyproject.toml tidegate/VERSION constraints.txt
	$(call require-python)
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv \
		|| { $(PYTHON) -m venv --without-pip --clear .venv && $(PYTHON) -m pip --python $(bin)/python install pip; } \
		|| { echo "Python's venv or pip is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(call install,.[embedded])

$(equipped): $(installed)
	$(call install,.[dev])
