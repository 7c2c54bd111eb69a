# Everything, on a machine that has Python 3.11+ and make: `make run`, `make test`.
#
# What is needed is installed into .venv at the first use, and again only when a lock has changed.
# ARGS is handed on: `make run ARGS="--port 9000"`, `make test ARGS="tests/domain -x"`.
# UV_PYTHON chooses another Python than the first one that fits: `UV_PYTHON=python3.13 make run`.

PYTHON ?= python3
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
BIN := .venv/bin

RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
# The dev lock holds all of the runtime lock, so a .venv made for tests also serves `make run`.
INSTALLED := $(or $(wildcard $(DEV)),$(RUNTIME))

# Nothing comes from outside the package registries.
export UV_PYTHON_DOWNLOADS := never
# Whom the system trusts, uv trusts: a company's own certificates are there and nowhere else.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= 1
endif

.DEFAULT_GOAL := help
.PHONY: help run test promises bench lint format types docs lock lock-check audit clean

help:
	@echo "make run     start the server (http://127.0.0.1:8000)"
	@echo "make test    run the tests"
	@echo "make promises    run the long checks; ARGS=--full at full length, which takes hours"
	@echo "make bench   measure the speed; ARGS=--quick, ARGS=\"S1 S2\", ARGS=--litellm"
	@echo "make lint types lock-check    the other checks; make format docs lock    repair them"

run: $(INSTALLED)
	@$(BIN)/gpt-assistant-api serve $(ARGS)

test: $(DEV)
	@$(BIN)/python -m pytest -n logical $(ARGS)

promises: $(DEV)
	@$(BIN)/python -m pytest promises -n logical $(ARGS)

bench: $(DEV)
	@UV=$(UV) $(BIN)/python -m benchmarks $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(DEV)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(DEV)
	$(BIN)/mypy

docs: $(DEV)
	$(BIN)/python -m tests.house.settings_reference
	$(BIN)/python -m tests.house.sqlite_schema

# Pins stay as they are where pyproject.toml allows them; ARGS=--upgrade takes the newest.
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --extra otlp --extra postgres pyproject.toml

lock: | $(UV)
	$(COMPILE) $(ARGS) --output-file requirements.txt
	$(COMPILE) $(ARGS) --group dev --output-file requirements-dev.txt

lock-check: | $(UV)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	cp requirements.txt requirements-dev.txt "$$folder" && \
	$(COMPILE) --output-file "$$folder/requirements.txt" && \
	$(COMPILE) --group dev --output-file "$$folder/requirements-dev.txt" && \
	diff -u requirements.txt "$$folder/requirements.txt" && \
	diff -u requirements-dev.txt "$$folder/requirements-dev.txt" || \
	{ echo "The locks do not agree with pyproject.toml: run \`make lock\`." >&2; exit 1; }

# Asks https://osv.dev about every package of the lock that this Python would install; what it could
# not look up fails it.
audit: $(DEV)
	@$(UV) tool run --python $(BIN)/python pip-audit@2.10.1 --vulnerability-service osv --strict \
		--disable-pip --require-hashes -r requirements.txt

clean:
	rm -rf .uv .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

.uv/bin/uv:
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { \
		echo "$(PYTHON) has no pip: install it (on Debian: apt-get install python3-pip), or uv." >&2; \
		exit 1; }
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
		--target .uv "uv>=0.13,<0.14"

.venv/pyvenv.cfg: | $(UV)
	@rm -rf .venv && $(UV) venv --quiet .venv

# `sync` takes away what is not in the lock, the program included, which is then installed anew.
define install
	@echo "Installing $< ..."
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes $<
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@
endef

$(RUNTIME): requirements.txt pyproject.toml .venv/pyvenv.cfg
	$(install)

$(DEV): requirements-dev.txt pyproject.toml .venv/pyvenv.cfg
	$(install)
