# Every task of this repository; `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install up down status env psql logs demo test fuzz lint snapshot format bench chaos soak clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Install what is missing: Debian packages, .venv, node_modules
	@bin/install

up: install ## Start the local stack under .run/ (again and again does no harm)
	@bin/stack up
	@bin/stack status

down: ## Stop the local stack; its data stay
	@bin/stack down

status: ## Show what runs
	@bin/stack status

env: ## Print where the stack is, and its keys, as KEY=VALUE lines
	@bin/stack env

psql: ## Open psql on the stack's database
	@bin/stack psql

logs: ## Follow the logs (without a terminal: print their last lines)
	@if [ -t 1 ]; then bin/stack logs --follow; else bin/stack logs; fi

demo: install ## Start the stack and watch devices, broker and database at work
	@bin/demo

test: ## Run everything that CI runs, on stacks of its own
	@bin/install test
	@bin/test

fuzz: install ## Schemathesis as each role, 10,000 cases each (long; a short form is in test)
	@bin/fuzz

lint: install ## Check style, types, SQL functions and the schema snapshot
	@bin/lint

bench: ## Measure against the alternatives, side by side, and write bench/README.md (long)
	@bin/install bench
	@bench/run

chaos: install ## Run the long forms of the faults' tests, then break real stacks again and again and count what became of each message (hours; MINUTES=60 bounds it, JOBS=4 runs four faults at a time)
	@bin/chaos --write $(if $(MINUTES),--minutes $(MINUTES)) $(if $(JOBS),--jobs $(JOBS))

soak: install ## Half an hour of one stack under load, with a fault each minute
	@bin/chaos --soak $(if $(MINUTES),--minutes $(MINUTES))

format: install ## Format the Python code
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix-only .

snapshot: install ## Write docs/schema.sql anew from the migrations
	@bin/snapshot

clean: ## Stop the local stack and remove its data
	@bin/stack down --clean
