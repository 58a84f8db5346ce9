# `make demo` and `make test` do everything on a fresh machine with Python 3.11; the rest is for those who work on meshd.

VENV ?= .venv
BIN := $(VENV)/bin
# pytest-xdist: as many workers as there are processors.
JOBS ?= auto
SHIV_ROOT ?=

.PHONY: help demo test test-slow lint types format coverage bench binary docs-reference docs-check lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(VENV)/.run: pyproject.toml constraints.txt tools/venv.sh
	@tools/venv.sh
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt tools/venv.sh
	@tools/venv.sh dev
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run ## Bookinfo on a mesh, on this machine: make demo ARGS=--check
	@$(BIN)/meshd demo $(ARGS)

test: $(VENV)/.dev lint types ## lint, types and the fast tests
	@$(BIN)/python -m compileall -q meshd
	$(BIN)/pytest -n $(JOBS) -m "not slow" $(ARGS)

test-slow: $(VENV)/.dev ## the tests that take seconds or need other programs
	$(BIN)/pytest -m slow $(ARGS)

lint: $(VENV)/.dev ## ruff and flake8-async
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/flake8-async --enable=ASYNC100,ASYNC101,ASYNC102,ASYNC103,ASYNC104,ASYNC119 $$(find meshd -name '*.py')

types: $(VENV)/.dev ## mypy
	$(BIN)/mypy

format: $(VENV)/.dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(VENV)/.dev ## branch coverage of the fast tests
	$(BIN)/coverage run -m pytest -m "not slow" $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/.dev ## meshd beside Envoy, nginx and aiohttp: see benchmarks/README.md
	@tools/venv.sh dev bench
	$(BIN)/python -m benchmarks $(ARGS)

binary: $(VENV)/.dev ## dist/meshd, one file that needs only Python
	@mkdir -p dist
	$(BIN)/shiv --quiet --compile-pyc --compressed --reproducible --extend-pythonpath -c meshd -p '/usr/bin/env python3' -o dist/meshd .
	@ls -lh dist/meshd

docs-reference: $(VENV)/.dev ## write the generated pages of docs/reference
	$(BIN)/python -m tools.cli_reference docs/reference/cli.md
	$(BIN)/python -m tools.fields_reference docs/reference/fields.md
	$(BIN)/python -m tools.analysis_reference docs/reference/analysis.md
	$(BIN)/python -m tools.limits_reference docs/reference/limits.md

docs-check: $(VENV)/.dev ## are the generated pages current?
	$(BIN)/python -m tools.cli_reference --check docs/reference/cli.md
	$(BIN)/python -m tools.fields_reference --check docs/reference/fields.md
	$(BIN)/python -m tools.analysis_reference --check docs/reference/analysis.md
	$(BIN)/python -m tools.limits_reference --check docs/reference/limits.md

lock: ## bring uv.lock and constraints.txt up to date (needs uv)
	uv lock
	uv export --frozen --no-hashes --no-emit-project --no-annotate --no-header --all-groups --quiet > constraints.txt

clean: ## remove what was made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
