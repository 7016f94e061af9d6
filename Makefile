# Two commands: `make up` and `make test`. `make` alone lists all.
SHELL := /bin/bash
# What a target needs is made side by side.
MAKEFLAGS += --jobs=2
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/azureml-scoring
WORKERS ?= 6
ARGS ?=
TOOLS := .venv/bin/python -m tools

.DEFAULT_GOAL := help
.PHONY: help up preview down env page state logs ready schema docs test slow lint torture acceptance clients bench
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: .venv/ready ## take the local stack up and ask it a question (AZURE_PORT=, SCORING_PORT= choose ports)
	@$(TOOLS) up
preview: .venv/ready ## show what an up would change
	@$(TOOLS) preview
down: .venv/ready ## take everything away (ARGS=--force: even what Pulumi cannot destroy)
	@$(TOOLS) down $(ARGS)
env: .venv/ready ## print the environment: eval "$(make -s env)" (INSIDE=1: of a client inside the virtual networks)
	@$(TOOLS) env $(if $(INSIDE),--inside)
page: .venv/ready ## print a link to the page of the local Azure
	@$(TOOLS) page
state: .venv/ready ## tell what runs
	@$(TOOLS) state
logs: .venv/ready ## print a build's or a deployment's log (ARGS=name), or the local Azure's own
	@$(TOOLS) logs $(ARGS)
ready: .venv/ready ## set the machine up without running anything
	@$(TOOLS) ready
lint: .venv/ready ## check style, types and imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy .
	@.venv/bin/lint-imports
schema: .venv/ready ## write the JSON Schema of the stack files
	@.venv/bin/azureml-scoring schema
docs: .venv/ready ## build the documentation into docs/_build; a warning is an error
	@.venv/bin/sphinx-build --builder html --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs docs/_build
INSTALL_CLIENTS = UV_PROJECT_ENVIRONMENT=$(CACHE)/clients $(TOOLS) run uv sync --quiet --locked --project tests/clients \
	--python "$$(.venv/bin/python -c 'import sys; print(sys._base_executable)')"
PYTEST = $(TOOLS) run .venv/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
test: lint docs ## pass the tests (ARGS=tests/... for some, WORKERS=6)
	@$(TOOLS) ready
	@$(TOOLS) browser
	@$(PYTEST) $(or $(ARGS),-m "not slow")
slow: .venv/ready ## pass the slow tests: every mode, builder, language and command on the real engine
	@$(TOOLS) ready
	@$(PYTEST) -m slow
torture: .venv/ready ## do all that could break a stack: kills, faults, load, … (ARGS="--part graphs", WORKERS=6)
	@$(TOOLS) ready
	@$(TOOLS) run .venv/bin/python -m tests.torture --workers $(WORKERS) $(ARGS)
acceptance: .venv/ready ## try each claim about Azure, and Azure's own clients (CLOUD=azure: on a real subscription; ARGS=--help)
	@$(TOOLS) ready
	@$(INSTALL_CLIENTS)
	@CLIENTS=$(CACHE)/clients $(TOOLS) run .venv/bin/python -m tests.acceptance $(ARGS)
clients: .venv/ready ## let Azure's own clients (azure-cli, azure-ai-ml, …) use a stack on the local Azure
	@$(TOOLS) ready
	@$(INSTALL_CLIENTS)
	@CLIENTS=$(CACHE)/clients $(TOOLS) run .venv/bin/python -m pytest tests/clients tests/lifecycle/test_adopt.py $(ARGS)
bench: .venv/ready ## measure, and keep the figures in docs/performance.json (ARGS="context gateway" for some parts)
	@$(TOOLS) ready
	@$(TOOLS) browser
	@$(TOOLS) run .venv/bin/python -m tests.performance.bench $(ARGS)

# One virtual environment from the lock file; uv itself is found, or kept in the cache.
.venv/ready: pyproject.toml uv.lock tools/bootstrap.sh
	@bash tools/bootstrap.sh "$(CACHE)" >&2
	@touch $@
