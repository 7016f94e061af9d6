# Two commands: `make up` and `make test`. `make` alone lists all.
SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/azureml-scoring
WORKERS ?= 4
ARGS ?=
PYTHON := .venv/bin/python

.PHONY: help up preview down env state logs ready test lint bench
help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

up: .venv/ready ## take the local stack up and ask it a question
	@$(PYTHON) -m tools up
preview: .venv/ready ## show what an up would change
	@$(PYTHON) -m tools preview
down: .venv/ready ## take everything away
	@$(PYTHON) -m tools down
env: .venv/ready ## print the environment: eval "$(make -s env)"
	@$(PYTHON) -m tools env
state: .venv/ready ## tell what runs
	@$(PYTHON) -m tools state
logs: .venv/ready ## print a build's or a deployment's log (ARGS=name)
	@$(PYTHON) -m tools logs $(ARGS)
ready: .venv/ready ## set the machine up without running anything
	@$(PYTHON) -m tools ready
lint: .venv/ready ## style, types, imports
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy . && .venv/bin/lint-imports
test: lint ready ## pass every test (ARGS=tests/... for some)
	@PATH="$(CURDIR)/.venv/bin:$$PATH" $(PYTHON) -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)
bench: ready ## measure, as ratios within one run
	@$(PYTHON) -m tests.performance.bench

# One virtual environment from the lock file; uv itself is found, or kept in the cache.
.venv/ready: pyproject.toml uv.lock tools/bootstrap.sh
	@tools/bootstrap.sh "$(CACHE)" >&2
	@touch $@
