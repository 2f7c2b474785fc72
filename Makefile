# Every target sets up what it needs in .venv. Needed beforehand: make, and Python 3.11 or later with its venv
# module. uv is used when it is there (`make UV=` leaves it out), pip otherwise; both install the same locked hashes.
#
#   make demo            a simulated funnel: ingested, retrained, forecast and served (ARGS=--exit: do not serve)
#   make test            the tests, but for the slow ones (ARGS='tests/models -k smoothing')
#   make test-slow       those: notebooks, browser, killed retrains, a million rows; a quarter of an hour
#   make serve           the API on http://127.0.0.1:8000 (ARGS='--port 9000')
#   make check           formatting, lint, types, import layers: changes nothing
#   make fmt             formats and repairs what can be repaired
#   make docs            writes docs/api.md and docs/cli.md from the code
#   make lock            resolves the locks again, keeping pins that still fit (ARGS=--upgrade: the newest)
#   make bench           speed, memory and accuracy beside the peers, an hour or more (ARGS=smoothing: only that)
#   make bench-ablation  what each ingredient of the forecasts is worth, half an hour (ARGS=DIRECTORY: of real cases)
#   make clean           removes the environments and caches

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)
# The first interpreter that is new enough; without uv it must be able to make an environment with pip, too.
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv; sys.version_info < (3, 11) and sys.exit(1); "$(UV)" or __import__("ensurepip")' \
	2>/dev/null && echo $$python && break; done)
ARGS :=

# Where it is set, every process would compile all it imports anew: ten seconds for a run of the tests to begin.
unexport PYTHONDONTWRITEBYTECODE

ifdef UV
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --require-hashes
EDITABLE = $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
else
# Bytecode is written at first import: compiling all of it here takes longer than everything else in the demo.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes
EDITABLE = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endif

.PHONY: demo test test-slow serve check fmt docs lock bench bench-ablation clean help

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.compiled
	@$(BIN)/nearcast demo $(ARGS)

serve: $(VENV)/.compiled
	@$(BIN)/nearcast serve $(ARGS)

test: tools
	$(BIN)/pytest --numprocesses auto --dist worksteal -m 'not slow' $(ARGS)

test-slow: tools
	$(BIN)/pytest --numprocesses 3 --dist worksteal -m slow $(ARGS)

# Side by side: one waits for the network, the other for the processor.
.PHONY: tools
tools: $(VENV)/.ready
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/.ready-dev $(VENV)/.compiled

check: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.ready-dev
	@$(BIN)/python docs/reference.py

bench: $(VENV)/.ready-dev
	@$(BIN)/python -m benchmarks $(ARGS)

bench-ablation: $(VENV)/.ready-dev
	@$(BIN)/python -m benchmarks.ablation $(ARGS)

# Universal: one file for every platform and Python >= 3.11. No index address is written, whatever the
# machine's own settings are; requirements-dev.lock takes its pins from requirements.lock.
COMPILE = pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links $(ARGS)

lock: $(VENV)/.made
	$(if $(UV),,$(BIN)/python -m pip install --quiet --disable-pip-version-check uv)
	@set -e; uv="$(or $(UV),$(BIN)/uv)"; unset UV_FIND_LINKS; \
	$$uv $(COMPILE) pyproject.toml --extra postgres --extra parquet --extra dask --output-file requirements.lock; \
	$$uv $(COMPILE) requirements-build.in --constraint requirements.lock --output-file requirements-build.lock; \
	$$uv $(COMPILE) pyproject.toml --extra dev --extra postgres --extra parquet --extra dask \
		--constraint requirements.lock --constraint requirements-build.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) benchmarks/.venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find models service tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
ifeq ($(UV)$(PYTHON),)
	@echo "nearcast needs Python 3.11 or later with its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1
else ifdef UV
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(or $(PYTHON),'>=3.11') $(VENV)
else
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
endif
	@touch $@

$(VENV)/.ready: requirements.lock requirements-build.lock pyproject.toml $(VENV)/.made
	@echo "installing into $(VENV) with $(if $(UV),uv,pip; this takes a minute)"
	@$(INSTALL) -r requirements.lock -r requirements-build.lock
	@$(EDITABLE)
	@touch $@

# Once for each state of the sources, before the tests' workers would each compile the same. Not needed, only
# quicker: what fails here will fail where somebody can see why.
$(VENV)/.compiled: $(VENV)/.ready $(wildcard models/*.py)
	@echo "compiling the forecasting kernels, half a minute"
	-@$(BIN)/python -m models.warm
	@touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	@echo "installing the development tools into $(VENV)"
	@$(INSTALL) -r requirements-dev.lock
	@touch $@
