# Everything a newcomer, a developer and the CI do here. `make help` lists the targets.
# GNU make 4.3 and a POSIX shell; every target sets up what it needs, so each works alone in a fresh clone.

# The interpreter .venv is made from; empty means the first of these that is 3.11 or newer.
PYTHON  ?=
# A folder of tables (docs/cli.md). The default is an invented company that `make sample` writes.
DATA    ?= sample
# A folder of bundles and a registry are one company's: the sample's are models/ and mlflow.db, those of DATA=export
# are models/export/ and mlflow-export.db.
NAME    := $(notdir $(DATA:/=))
ifeq ($(NAME),sample)
BUNDLE  ?= models/sample
export MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db
else
BUNDLE  ?= models/$(NAME)/newest
export MLFLOW_TRACKING_URI ?= sqlite:///mlflow-$(NAME).db
endif
PERIOD  ?= 2026Q1
LOCALE  ?= en
OUT     ?= out
# tune: how long to search.
MINUTES ?= 10
# monitor: a bundle that learnt until this day is trained for it; empty monitors BUNDLE itself.
UNTIL   ?= $(if $(filter sample,$(NAME)),2025-07-01)
HOST    ?= 127.0.0.1
PORT    ?= 3000
# bench: `all` for every peer on three sizes and seeds; empty for the quick ones on one company.
PEERS   ?=
# Test processes, one more than the cores of a small machine: servers and their clients wait a lot. Files are kept
# together, so a fixture of a file is built once; each process computes with one thread.
WORKERS ?= 3

BIN   := .venv/bin
READY := .venv/.ready
PYTHON_FOLDERS := src training tests benchmarks
CODE  := $(shell find src/forecast training -name '*.py' -o -name '*.toml' -o -name '*.yaml')

# The sample is known to be whole only by its mark; another DATA is the user's own and is never written.
SAMPLE_READY := sample/.ready
ifeq ($(DATA:/=),sample)
DATA_READY := $(SAMPLE_READY)
else
DATA_READY := $(wildcard $(DATA:/=)/*.csv $(DATA:/=)/*.parquet)
endif

export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup forecast sample audit train tune backtest promote rollback report verify serve check test test-fast bench soak lock mlflow monitor doctor clean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Variables: DATA=$(DATA) BUNDLE=$(BUNDLE) PERIOD=$(PERIOD) LOCALE=$(LOCALE) OUT=$(OUT) UNTIL=$(UNTIL) PYTHON=$(PYTHON)"

## Set-up ------------------------------------------------------------------------------------------------------

setup: $(READY) ## Make .venv with the locked packages (once; again when the lock changes)

# The locked uv is fetched by pip and installs the rest in a quarter of pip's time. It does not read pip's
# configuration, so where packages come from a mirror known only to pip, pip does the work itself: same file,
# same hashes. Both compile, because PYTHONDONTWRITEBYTECODE would make every later start seconds slower.
$(READY): requirements.lock pyproject.toml
	@set -eu; \
	python='$(PYTHON)'; \
	for candidate in python3.13 python3.12 python3.11 python3; do \
	  [ -z "$$python" ] || break; \
	  if "$$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$candidate; \
	  fi; \
	done; \
	if ! "$${python:-false}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "error: Python 3.11 or newer is needed, found $${python:-none}; say where one is: make PYTHON=/path/to/python3" >&2; \
	  exit 2; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1 && ! $(BIN)/python -m ensurepip >/dev/null 2>&1; then \
	  echo "setup: making .venv with $$("$$python" --version)"; \
	  "$$python" -m venv --clear .venv || { \
	    echo "error: $$python cannot make a virtual environment; on Debian: apt install python3-venv" >&2; \
	    exit 2; \
	  }; \
	fi
	@echo "setup: installing the packages of requirements.lock"
	@awk '/^[^ #]/ {wanted = /^uv==/} wanted' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock || { \
	  echo "setup: uv could not install them; pip does, which takes a minute or two"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --compile --require-hashes -r requirements.lock; \
	}
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "setup: ready"

lock: $(READY) ## Resolve pyproject.toml into requirements.lock again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --all-extras pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --extra serve --extra database -c requirements.lock pyproject.toml -o deploy/requirements.lock

## The job -----------------------------------------------------------------------------------------------------

forecast: $(READY) $(DATA_READY) $(BUNDLE)/manifest.json ## The whole job: sample company, training, scores, roll-up, report
	@mkdir -p $(OUT)
	@$(BIN)/forecast score --data $(DATA) --bundle $(BUNDLE) --period $(PERIOD) --out $(OUT)/scores.csv
	@$(BIN)/forecast roll-up --data $(DATA) --bundle $(BUNDLE) --period $(PERIOD) --out $(OUT)/bookings.csv
	@$(BIN)/forecast show --data $(DATA) --bundle $(BUNDLE) --period $(PERIOD) --locale $(LOCALE) --report report.html

sample: $(SAMPLE_READY) ## Write the invented company into sample/ (5,000 deals over four years)

$(SAMPLE_READY): | $(READY)
	@$(BIN)/forecast sample sample --deals 5000 --seed 2
	@touch $@

audit: $(READY) $(DATA_READY) ## Find fields of DATA that leak what became of a deal
	@$(BIN)/python -m training audit --data $(DATA)

train: $(READY) $(DATA_READY) ## Fit the models on DATA into BUNDLE and register the run
	$(BIN)/python -m training train --data $(DATA) --bundle $(BUNDLE) --register

$(BUNDLE)/manifest.json: $(DATA_READY) $(CODE) | $(READY)
	@$(BIN)/python -m training train --data $(DATA) --bundle $(BUNDLE) --register
	@touch $@

tune: $(READY) $(DATA_READY) ## Search settings for DATA for MINUTES; OUT/tuned.toml is written if they are better
	$(BIN)/python -m training tune --data $(DATA) --out $(OUT)/tuned.toml --minutes $(MINUTES)

promote: $(READY) $(BUNDLE)/manifest.json ## Compare the newest registered bundle with the one that serves, let it serve if it is better
	$(BIN)/python -m training promote --candidate --data $(DATA) --models $(dir $(BUNDLE))

rollback: $(READY) ## Let the bundle serve again that served before the last promotion
	$(BIN)/python -m training rollback --models $(dir $(BUNDLE))

backtest: $(READY) $(DATA_READY) ## Forecast past quarters of DATA again and compare, into OUT/backtest; goes on where it was
	@mkdir -p $(OUT)
	$(BIN)/python -m training backtest --data $(DATA) --out $(OUT)/backtest --locale $(LOCALE)

report: $(READY) $(BUNDLE)/manifest.json ## Write report.html for PERIOD in LOCALE (en or it)
	$(BIN)/forecast report --data $(DATA) --bundle $(BUNDLE) --period $(PERIOD) --locale $(LOCALE) --out report.html

verify: $(READY) ## Make what `make forecast` wrote again and compare it to the byte
	@set -e; for output in $(OUT)/scores.csv $(OUT)/bookings.csv report.html; do \
	  echo "== $$output"; $(BIN)/forecast verify $$output --data $(DATA) --bundle $(BUNDLE); \
	done

# BUNDLE learnt from all of DATA, so only newer data can tell whether it still holds. The sample gets none: there, and
# wherever UNTIL=DAY is given, a bundle that learnt until then is monitored.
MONITORED := $(if $(UNTIL),$(OUT)/monitored/$(NAME)-$(UNTIL),$(BUNDLE))

# The codes 11 to 13 of the command are findings, not failures: they are printed, and make goes on.
monitor: $(READY) $(MONITORED)/manifest.json ## Has the business left the bundle behind? Page and facts into OUT/monitoring
	@$(BIN)/python -m training monitor --data $(DATA) --bundle $(MONITORED) --out $(OUT)/monitoring \
	  --locale $(LOCALE) || { code=$$?; [ $$code -ge 11 ] && [ $$code -le 13 ] || exit $$code; }

ifneq ($(UNTIL),)
$(MONITORED)/manifest.json: $(DATA_READY) $(CODE) | $(READY)
	@mkdir -p $(dir $(MONITORED))
	@$(BIN)/python -m training train --data $(DATA) --as-of $(UNTIL) --bundle $(MONITORED) --no-track
	@touch $@
endif

serve: $(READY) $(BUNDLE)/manifest.json ## Answer over HTTP on HOST:PORT from BUNDLE
	$(BIN)/forecast serve --bundle $(BUNDLE) --host $(HOST) --port $(PORT)

doctor: $(READY) ## Check what the service promises: bundle, promotion log, keys, disk, and the one on HOST:PORT if it runs
	@$(BIN)/forecast doctor --bundle models/current \
	  $(shell curl -sf -o /dev/null -m 2 http://$(HOST):$(PORT)/livez 2>/dev/null && echo --url http://$(HOST):$(PORT))

mlflow: $(READY) ## Look at the training runs in a browser (on the loopback address)
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow ui --workers 1 --backend-store-uri $(MLFLOW_TRACKING_URI) --host 127.0.0.1 --port 5000

## Quality -----------------------------------------------------------------------------------------------------

check: $(READY) ## Lint, format, types, generated files
	$(BIN)/ruff check $(PYTHON_FOLDERS)
	$(BIN)/ruff format --check $(PYTHON_FOLDERS)
	$(BIN)/mypy
	@rm -rf build/schemas; $(BIN)/python -m forecast.tables.schemas build/schemas
	diff -r data/schemas build/schemas

test: $(READY) ## Every test, the slow ones too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: $(READY) ## The tests of a few seconds each
	$(BIN)/python -m pytest -m "not slow and not e2e and not real"

bench: $(READY) ## Print the tables of speed and accuracy (PEERS=all: every peer, three sizes and seeds, hours)
	@$(BIN)/python -m benchmarks.accuracy $(if $(PEERS),,--deals 5000 --seeds 1 --without forest --without survival_boost)
	@set -e; for script in $$(grep -l "^if __name__" benchmarks/*.py | grep -v -e pictures -e accuracy -e soak); do \
	  module=$${script%.py}; module=benchmarks.$${module##*/}; \
	  echo "== $$module"; $(BIN)/python -m "$$module"; \
	done

soak: $(READY) ## Ten minutes of requests while things go wrong, then ten times as many as usual (12 minutes)
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.soak --overload

clean: ## Remove caches, outputs, the sample and its bundle (never .venv or other bundles)
	rm -rf sample models/sample out report.html report.html.receipt.json dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src training tests benchmarks -type d -name __pycache__ -exec rm -rf {} +
