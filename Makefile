# Every command a person or CI needs. The first one on a fresh machine makes .venv, and needs only Python >= 3.11.
# Another Python: make demo PYTHON=/path/to/python3.12

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo up test unit check lint types contracts drift kafka bench storm chaos sim sim-bugs providers repeats fuzz audit fmt record clean needs-java

UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.ready
PYTHON ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## two minutes that show what Tocsin does
	@$(BIN)/tocsin demo $(ARGS)

up: $(READY) ## the same server, empty, on http://127.0.0.1:8080
	@$(BIN)/tocsin up $(ARGS)

test: $(READY) needs-java ## every test, a real Kafka included
	$(BIN)/pytest -n 2 $(ARGS)

unit: $(READY) ## the fast tests: no broker, no Java
	$(BIN)/pytest tests/unit $(ARGS)

check: lint types contracts drift ## lint, types, import contracts, migrations

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	$(BIN)/mypy

contracts: $(READY) ## who may import whom
	$(BIN)/lint-imports --no-logo

drift: $(READY) ## do the migrations make the tables of the code, and is the route table current?
	@folder=$$(mktemp -d) && chmod 755 $$folder && trap "rm -rf $$folder" EXIT; \
	env -u TOCSIN_DATABASE_URL TOCSIN_DATA_DIR=$$folder TOCSIN_ADMIN_KEY=drift $(BIN)/tocsin migrate --check && echo "migrations: no drift"
	$(BIN)/python -m deploy.routes --check && echo "route table: up to date"

kafka: $(READY) needs-java ## a real single-node Kafka in the foreground, without Docker
	@$(BIN)/python -m deploy.kafka $(ARGS)

bench: $(READY) ## every benchmark (an hour and a half), and bench.json; ARGS="--only rules accept clocks notify …" for some
	$(BIN)/python -m tests.bench $(ARGS)

storm: $(READY) ## 5,000 breaches in one second; ARGS="--replicas 3", --kafka on a real Kafka, --breaches 500
	$(BIN)/python -m tests.bench.storm $(ARGS)

chaos: $(READY) needs-java ## every fault under load, and judge; MINUTES=30, or kills only by ARGS="--rounds 20 --seed 1"
	$(BIN)/python -m tests.chaos $(if $(MINUTES),--all --replicas 2 --minutes $(MINUTES)) $(ARGS)

providers: $(READY) ## ten minutes in which Slack fails in every way: every page still reaches somebody; ARGS="--minutes 2 --seed 7"
	$(BIN)/python -m tests.chaos.providers $(ARGS)

sim: $(READY) ## all services stepped by a seed, every fault between them, and judged; SEED=1 RUNS=50 STEPS=200 JOBS=2
	PYTHONHASHSEED=0 $(BIN)/python -m tests.sim --seed $(or $(SEED),1) --runs $(or $(RUNS),$(if $(SEED),1,50)) --steps $(or $(STEPS),200) --jobs $(or $(JOBS),2) $(ARGS)

sim-bugs: $(READY) ## known bugs are planted, and the simulator has to find each
	PYTHONHASHSEED=0 $(BIN)/pytest tests/sim/planting.py $(ARGS)

repeats: $(READY) ## 10,000 contacts three times through a kill -9 of intake: none lost, none twice; ARGS="--contacts 1000"
	$(BIN)/python -m tests.chaos.repeats $(ARGS)

fuzz: $(READY) ## every route with what nobody would send, by Schemathesis; MINUTES=30
	$(BIN)/python -m tests.hostile $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

audit: $(READY) ## are our pinned dependencies known to be weak? Asks osv.dev; says so in a line where it cannot
	@.venv/uv/bin/uv audit --frozen --preview-features audit --no-dev > .venv/audit 2>&1 && tail -n 3 .venv/audit || \
	{ if grep -qiE 'error sending|connect|timed out|dns|network' .venv/audit; then echo "not audited: osv.dev cannot be reached from here"; \
	else cat .venv/audit; exit 1; fi; }

fmt: $(READY) ## format, and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

record: $(READY) ## write today's event schemas down; refuses what is no addition
	$(BIN)/python -m tests.unit.architecture.recorded

clean: ## remove what make made; data in .tocsin stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find services shared tests deploy -name __pycache__ -type d -prune -exec rm -rf {} +

# Made again when the dependencies change; quick otherwise. uv lives apart, so that a sync leaves it alone.
$(READY): pyproject.toml uv.lock
	@set -e; \
	if [ ! -x $(BIN)/python ]; then \
	  for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "Tocsin needs Python 3.11 or newer and found $$(python3 --version 2>&1 || echo none). Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	  fi; \
	  if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$found cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	  echo "making .venv with $$("$$found" --version)"; \
	  "$$found" -m venv .venv; \
	fi; \
	if ! .venv/uv/bin/uv --version 2>/dev/null | grep -q ' $(UV_VERSION)\b'; then \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target .venv/uv uv==$(UV_VERSION); \
	fi; \
	VIRTUAL_ENV= .venv/uv/bin/uv sync --frozen --quiet --python $(BIN)/python --no-python-downloads; \
	touch $@

needs-java:
	@command -v java >/dev/null || { echo "A real Kafka needs Java 17 or newer. On Debian or Ubuntu: apt-get install openjdk-17-jre-headless (make unit runs without)" >&2; exit 1; }
	@command -v mvn >/dev/null || { echo "Kafka's jars come by Maven. On Debian or Ubuntu: apt-get install maven (make unit runs without)" >&2; exit 1; }
