# The project's commands. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
DEMO ?= var/demo
JOBS ?= 2
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

# The demo speaks plain HTTP on the loopback, and its payment channel is a simulator.
DEMO_ENV := HIS_DATA_DIR=$(DEMO) HIS_SECURE_COOKIES=0 HIS_SIMULATE_PAYMENTS=1 HIS_DEMO=1

.DEFAULT_GOAL := help
.PHONY: help run demo test test-long golden bench lint setup setup-run frontend trace migration packages verify-packages clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv $(VENV); }

$(VENV)/.run: setup.cfg pyproject.toml | $(BIN)/python
	$(PIP) -e '.[build]'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(PIP) -e '.[build,test,dameng]'
	@touch $@

setup-run: $(VENV)/.run
	@$(BIN)/python -m his_server.web.build

setup: $(VENV)/.test ## set up everything that the tests need
	@$(BIN)/python -m his_server.web.build

frontend: $(VENV)/.run ## build the front end
	@$(BIN)/python -m his_server.web.build

demo: setup-run ## make the demo hospital in var/demo, if it isn't there
	@$(DEMO_ENV) $(BIN)/python -m his_server demo --if-empty

run: demo ## start the demo hospital on http://127.0.0.1:8000/
	@$(DEMO_ENV) $(BIN)/python -m his_server run --bind 127.0.0.1:$(PORT) --with-worker --with-simulators

lint: setup ## ruff, import-linter, mypy, layout, types of the pages
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python -m his_server lint-layout
	$(BIN)/python -m his_server.web.build --check

test: lint ## everything but the long tests, on SQLite, PostgreSQL and (chosen ones) Dameng
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --ignore tests/browser
	$(BIN)/python -m pytest tests/browser  # alone: a person at a keyboard has the machine to themselves

test-long: lint ## all tests, on Dameng too (HIS_TEST_DAMENG_URL names a true DM8); races, kills, wrong input at length
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "not bench and not long" --ignore tests/browser --dameng all
	$(BIN)/python -m pytest tests/browser
	$(BIN)/python -m pytest -m "long and not bench"  # alone; HIS_LONG_RACE_SECONDS=60 HIS_LONG_KILLS=30 HIS_LONG_EXAMPLES=50

golden: setup ## write the golden SQL files anew after a change of models or dialects
	HIS_TEST_UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/dialects/test_golden.py

bench: setup ## benchmarks: ratios to floors measured in the same run
	$(BIN)/python -m pytest -m bench -s tests/benchmarks

trace: setup ## run the tests that prove requirements and write docs/trace.md
	$(BIN)/python -m his_server trace --run > /dev/null

migration: setup ## write a database migration: make migration NAME=what_changes
	$(BIN)/python -m his_server migration "$(NAME)"

packages: setup-run ## build deb and rpm for amd64 and arm64 into dist/ (docs/operations/packages.md)
	nice -n 15 $(BIN)/python packaging/build.py

verify-packages: ## install, run, update, remove the built packages in clean roots; needs root (long; not in CI)
	nice -n 15 $(BIN)/python packaging/verify/run.py

clean: ## remove what was built; the demo's data too
	rm -rf $(VENV) his_server/web/dist his_server/web/node_modules var build dist *.egg-info
