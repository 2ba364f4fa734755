# `make run` and `make test` are all that a fresh machine needs: Python 3.11 and make.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
OUTPUT ?= output/demo
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow lint format types bench docs server deploy worker clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## make the virtual environment and install everything

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e ".[dev,offline,dask,s3]" -c constraints.txt
	touch $@

run: install  ## the sample catalogue, end to end (OUTPUT=DIR)
	$(BIN)/pricing demo --output $(OUTPUT)

# mypy works beside the tests, as nothing else would use a second core meanwhile
test: install lint  ## style, types and the tests, two files at a time
	$(BIN)/mypy & types=$$!; \
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder; tests=$$?; \
	wait $$types && exit $$tests || { echo "mypy found errors, see above" >&2; exit 1; }

test-slow: install  ## the tests that take long
	$(BIN)/pytest -m slow --timeout 3600

lint: install  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install  ## mypy
	$(BIN)/mypy

bench: install  ## what is measured rather than asserted
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

docs: install  ## API documentation from the docstrings, in build/docs
	$(BIN)/pdoc -d numpy -o build/docs pricing tasks flows

server: install  ## the Prefect server and UI on http://127.0.0.1:4200
	exec env PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem \
		$(BIN)/prefect server start

deploy: install  ## register work pool, deployments, limit `gpu` and the automation that closes dead runs
	$(BIN)/prefect work-pool inspect pricing > /dev/null 2>&1 || $(BIN)/prefect work-pool create pricing --type process
	$(BIN)/prefect --no-prompt deploy --all
	$(BIN)/python -m flows.automations

worker: install  ## run what is deployed, until it is stopped
	exec $(BIN)/prefect worker start --pool pricing

clean:  ## remove what was made; data/ and the virtual environment stay
	rm -rf output build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find artifacts -mindepth 1 ! -name README.md -delete
