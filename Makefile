# kubenurse-otel. `make help` lists what there is; `make demo` and `make test` need Python 3.11+ and get the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
LOCKED := --require-hashes --only-binary=:all: --requirement
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header pyproject.toml
ARGS ?=
KUBERNETES ?=
HELM ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format reference bench simulation test-apiserver chart dashboards collector image e2e cluster faults board hostile package page lock audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.demo: pyproject.toml requirements-demo.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) tests/system_programs.py venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(INSTALL) $(LOCKED) requirements-demo.lock
	$(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.demo requirements-dev.lock
	$(INSTALL) $(LOCKED) requirements-dev.lock
	touch $@

demo: $(VENV)/.demo ## run a little cluster on loopback and break it: make demo ARGS="--seconds 30"
	@$(BIN)/kubenurse-otel demo $(ARGS)

test: $(VENV)/.dev ## unit, property and integration tests, with coverage
	@$(BIN)/python tests/system_programs.py $@
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=95 $(ARGS)

test-apiserver chart: export KUBENURSE_TEST_KUBERNETES = $(KUBERNETES)
chart e2e cluster: export KUBENURSE_TEST_HELM = $(HELM)

test-apiserver: $(VENV)/.dev ## discovery against a real kube-apiserver (built once); KUBERNETES=oldest, =newest
	@$(BIN)/python tests/system_programs.py $@
	$(BIN)/python -m pytest tests/apiserver $(ARGS)

chart: $(VENV)/.dev ## the chart, rendered by helm and admitted by a real API server; HELM=4
	@$(BIN)/python tests/system_programs.py $@
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/chart $(ARGS)

dashboards: $(VENV)/.dev ## rules by promtool, every expression on Prometheus with real agents (VictoriaMetrics: KUBENURSE_TEST_STORES=all)
	@$(BIN)/python tests/system_programs.py $@
	$(BIN)/python -m pytest -n 2 --dist loadscope tests/dashboards $(ARGS)

collector: $(VENV)/.dev ## a real OpenTelemetry collector, Prometheus and Jaeger behind real agents
	@$(BIN)/python tests/system_programs.py $@
	$(BIN)/python -m pytest tests/collector $(ARGS)

page: $(VENV)/.dev ## the page in Debian's Chromium: KUBENURSE_PAGE_PICTURES=FOLDER keeps pictures
	@$(BIN)/python tests/system_programs.py $@
	$(INSTALL) $(LOCKED) requirements-page.lock
	$(BIN)/python -m pytest tests/browser $(ARGS)

image: $(VENV)/.dev ## build the image and run it restricted (root, buildah, runc, debootstrap)
	KUBENURSE_TEST_IMAGE=1 $(BIN)/python -m pytest tests/image $(ARGS)

e2e: $(VENV)/.dev ## a real cluster: acceptance, a bare install, faults, ten minutes of churn (root)
	@PYTHONPATH=tests $(BIN)/python -m e2e.cluster build
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder tests/e2e $(ARGS)

cluster: $(VENV)/.dev ## that cluster by hand: make cluster ARGS="up", install, fault NAME, heal, down
	@PYTHONPATH=tests $(BIN)/python -m e2e.cluster $(ARGS)

faults: $(VENV)/.dev ## every fault there is, on two clusters; writes docs/faults.md (root, half an hour)
	@PYTHONPATH=tests $(BIN)/python -m e2e.faults --jobs 2 --write $(ARGS)

board: $(VENV)/.dev ## whom the diagnosis names at every fault, on a real cluster; adds to its book and writes docs/diagnosis.md (root, two hours)
	@PYTHONPATH=tests $(BIN)/python -m e2e.cluster build
	@PYTHONPATH=tests $(BIN)/python -m e2e.faults.board $(ARGS)

hostile: $(VENV)/.dev ## attack an agent at 160 MiB in every way: an hour; ARGS="--gate --seconds 10" a few (root)
	@PYTHONPATH=tests $(BIN)/python -m hostile $(ARGS)

package: $(VENV)/.dev ## the wheel, its source and the chart, into dist/; and tries them without a checkout
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/python -c 'from tests.chart import helm; print(helm.run("package", "helm/kubenurse-otel", "--destination", "dist"), end="")'
	$(BIN)/python -m pytest tests/package $(ARGS)

lock: $(VENV)/.dev ## dependencies with hashes, of the image, the demo, the tests; ARGS=--upgrade takes newer ones
	$(COMPILE) $(ARGS) --output-file requirements.lock
	$(COMPILE) $(ARGS) --group build --extra demo --constraint requirements.lock --output-file requirements-demo.lock
	$(COMPILE) $(ARGS) --group build --extra demo --extra dev --extra dashboards --constraint requirements-demo.lock --output-file requirements-dev.lock
	$(COMPILE) $(ARGS) --group build --extra page --constraint requirements-dev.lock --output-file requirements-page.lock
	@sed -i '1i # With hashes: made from pyproject.toml by `make lock`; do not edit.' requirements*.lock

audit: $(VENV)/.dev ## what is known against the locked packages (PyPI's advisories; one that cannot be asked fails)
	@for lock in requirements*.lock; do echo "$$lock:"; $(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement $$lock || exit 1; done

lint: $(VENV)/.dev ## ruff, mypy, import-linter, everything that is generated is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.reference --check
	$(BIN)/python -m dashboards --check
	$(BIN)/python -m tests.chart.generate --check
	$(BIN)/python -m tests.chart.kustomize --check

format: $(VENV)/.dev ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(VENV)/.dev ## write everything that is generated: references, dashboards, the chart's files
	$(BIN)/python -m docs.reference --write
	$(BIN)/python -m dashboards --write
	$(BIN)/python -m tests.chart.generate --write
	$(BIN)/python -m tests.chart.kustomize --write

simulation: $(VENV)/.dev ## diagnosis in simulated clusters, as a table: ARGS="--trials 5 --sizes 3,6,12,60 --node-hours 100"
	@PYTHONPATH=tests $(BIN)/python -m simulation $(ARGS)

bench: $(VENV)/.dev ## accuracy against the wire, CPU, memory (as root: it makes network namespaces)
	$(BIN)/python -m bench $(ARGS)

clean: ## remove what the targets above made
	rm -rf $(VENV) $(CACHE) .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
