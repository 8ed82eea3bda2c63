# The project's commands. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PYTHONWARNINGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test test-long bench lint setup frontend clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv $(VENV); }

$(VENV)/.run: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[build]'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[build,test,dameng]'
	@touch $@

FRONT_SOURCES := $(shell find his_server/web modules interfaces \( -name node_modules -o -name dist \) -prune -o \( -name '*.vue' -o -name '*.ts' -o -name '*.css' -o -name 'package-lock.json' -o -name 'index.html' \) -print 2>/dev/null)
his_server/web/dist/.built: $(FRONT_SOURCES) | $(VENV)/.run
	$(BIN)/python -m his_server.web.build
	@touch $@

setup: $(VENV)/.test his_server/web/dist/.built ## set up everything that the tests need
frontend: his_server/web/dist/.built ## build the front end
