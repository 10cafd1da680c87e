# Two words are enough: `make up` for a cluster, `make test` for the proof. `make help` lists the rest.
SHELL := /bin/bash
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help

.PHONY: help setup setup-dev up down purge check lint types layers unit conformance clients fuzz e2e test bench bench-large lock kinds

help:  ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready  ## Install what the machine lacks and build the environment from the hashed lock

setup-dev: .venv/.ready-dev  ## The same with what tests and checks need

.venv/.ready: requirements.lock tools/setup.sh
	@tools/setup.sh requirements.lock $@

.venv/.ready-dev: requirements-dev.lock tools/setup.sh
	@tools/setup.sh requirements-dev.lock $@

up: setup  ## Bring a cluster up on this machine (root)
	@.venv/bin/bireme up

down: setup  ## Stop the cluster; its state stays
	@.venv/bin/bireme down

purge: setup  ## Remove every trace of the cluster, and prove it
	@.venv/bin/bireme down --purge && .venv/bin/bireme down --check

check: lint types layers  ## Lint, types and import layers

lint: setup-dev
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .

types: setup-dev
	@.venv/bin/mypy

layers: setup-dev
	@.venv/bin/lint-imports --no-cache

unit: setup-dev  ## Unit, property, contract, story, conformance and client tests: no containers
	@tools/setup-kubectl.sh
	@tools/setup-other-clients.sh
	@.venv/bin/pytest -m "not e2e" -n 2 --dist loadfile

conformance: setup-dev  ## The conformance behaviours that need no container, by area
	@tools/setup-kubectl.sh
	@$(PYTHON) tools/conformance.py

clients: setup-dev  ## Clients of others, unmodified, against a test server; installs node, Java and Spark (root)
	@tools/setup-other-clients.sh spark
	@.venv/bin/pytest tests/clients

fuzz: setup-dev  ## Ten minutes of questions nobody would think of, made from our own OpenAPI; SEED=2 asks others
	@$(PYTHON) tests/fuzz/fuzz_api.py --seconds 600 --seed $(or $(SEED),1)

e2e: setup-dev  ## Whole stories with real containers, kubectl, pymesos and curl (root)
	@tools/setup-e2e.sh
	@.venv/bin/pytest -m e2e --timeout 600

test: check unit e2e  ## Everything: lint, types, layers, unit and e2e

bench: setup-dev  ## The figures: a table and one JSON object a line
	@$(PYTHON) benchmarks/all.py

bench-large: setup-dev  ## The figures of ten thousand nodes: half an hour or more, 8 GB of memory, 5 GB of disk
	@$(PYTHON) benchmarks/all.py --large

lock: setup-dev  ## Resolve the dependencies again, with hashes and without addresses
	@.build/uv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 pyproject.toml -o requirements.lock
	@.build/uv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
