# The tasks of this repository; `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install develop hooks up down status doctor env psql logs demo test test-matrix fuzz lint docs snapshot format bench chaos soak clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Install what the stack and the demo need: Debian packages, .venv, PostgREST
	@bin/install

develop: ## Install also what checks and tests need
	@bin/install dev

hooks: ## Check commits before they are made (Git hooks)
	@git config core.hooksPath .githooks

up: install ## Start the local stack under .run/ (safe to repeat)
	@bin/stack up
	@bin/stack status

down: ## Stop the local stack and keep its data
	@bin/stack down

status: ## Show which parts are running
	@bin/stack status

doctor: ## Say what is wrong with the stack, and how to fix it
	@bin/topicbase doctor

env: ## Print the stack's addresses and keys as KEY=VALUE lines
	@bin/stack env

psql: ## Open psql on the stack's database
	@bin/stack psql

logs: ## Follow the logs (without a terminal: print the last lines)
	@if [ -t 1 ]; then bin/stack logs --follow; else bin/stack logs; fi

demo: install ## Start the stack and watch devices, broker and database at work
	@bin/demo

test: ## Run everything that CI runs, on stacks of its own
	@bin/install test
	@bin/test

test-matrix: develop ## Run the tests that depend on it on each major version of PostgreSQL, and write docs/reference/postgresql-versions.md (long)
	@bin/test-matrix

fuzz: develop ## Run Schemathesis as each role, 10,000 cases each (long; make test has a short form)
	@bin/fuzz

lint: develop ## Check style, types, spelling, SQL functions and the schema snapshot
	@bin/lint

docs: ## Build the documentation as a site that can be searched, in .cache/site
	@bin/docs

bench: ## Measure against the alternatives side by side and write bench/README.md (long)
	@bin/install bench
	@bench/run

chaos: develop ## Run the long fault tests, then break real stacks repeatedly and account for every message (hours; MINUTES=60 limits it, JOBS=4 runs four faults at a time)
	@bin/chaos --write $(if $(MINUTES),--minutes $(MINUTES)) $(if $(JOBS),--jobs $(JOBS))

soak: develop ## Run one stack under load for half an hour, with a fault every minute
	@bin/chaos --soak $(if $(MINUTES),--minutes $(MINUTES))

format: develop ## Format the Python code and apply ruff's automatic fixes
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix-only .

snapshot: develop ## Regenerate docs/schema.sql and docs/reference/openapi.json from the migrations
	@bin/snapshot

clean: ## Stop the local stack and delete its data, and the cached clusters of tests
	@bin/stack down --clean
	@bin/template --clean
