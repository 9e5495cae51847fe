# Everything here needs Python 3.11 and make, nothing else. `make help` lists it.

PYTHON ?= python3.11
BIN := .venv/bin
SECOND := .venv-matminer
# Packages of the second environment: matminer holds pandas below 3.
SECOND_PINS := matminer==0.10.1 pandas==2.3.3
# Tests of the core that read and write tables, which pandas 2 has to pass, too.
TABLES := schema saving suggest explain evaluate draws pool
# What people do with tables, too: campaigns, the shell, reports.
FACES := tests/campaigns tests/cli $(patsubst %,tests/reports/test_%.py,page campaign_page backtest_page)
# The environment of the oldest versions that pyproject.toml declares, and the tests that run there.
OLDEST := .venv-oldest
OLDEST_TESTS := $(patsubst %,tests/core/test_%.py,$(filter-out evaluate pool,$(TABLES))) tests/cli tests/interfaces
# uv makes an environment in seconds and knows what the oldest versions are. Where pip finds wheels, so does uv;
# UV_TORCH_BACKEND=cpu spares it the CUDA libraries.
UV := .venv-uv/bin/uv
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
# Test processes at once, each with one thread.
WORKERS ?= 2
# Tests that need something of the machine; `make check MARKERS="browser postgres"` includes them.
MARKERS ?=
OPTIONAL := browser postgres matminer

empty :=
space := $(empty) $(empty)
LEFT_OUT := $(filter-out $(MARKERS),$(OPTIONAL))
SELECTED := $(subst $(space), and ,$(LEFT_OUT:%=not@%))
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
# The one on compositions runs where matminer is, those on experts take hours.
BENCHMARKS := $(filter-out %/record.py %/botorch_policies.py %/make_page.py %/composition.py %/experts.py %/growth.py %/fusion.py %/thermoelectrics.py %/labels.py %/calibration.py %/calibration_loop.py %/campaigns.py %/transfer.py %/levels.py %/shotgun.py,$(wildcard benchmarks/*.py))

.DEFAULT_GOAL := help
.PHONY: help demo test check lint docs starter check-matminer check-wheel check-oldest benchmark benchmark-experts clean
.DELETE_ON_ERROR:

help:  ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r verb what; do \
	    printf '%-22s %s\n' "$$verb" "$$what"; done

demo: .venv/.runtime  ## fit, predict and suggest on the embedded table, and write mfmat-demo.html
	$(BIN)/mfmat demo

test: .venv/.dev  ## the tests that a change should pass before anything else
	$(PYTEST) -m "not promise and not page and not browser and not postgres and not matminer"
	@echo "Left out: promise (slow statistics), page (code of docs and tutorials), browser, postgres, matminer."
	@echo "make check runs promises and pages, too."

check: .venv/.dev lint  ## everything: style, types, all tests, doctests, the code of the pages, the site
	$(PYTEST) -m "$(subst @, ,$(SELECTED))"
	@echo "Left out: $(if $(LEFT_OUT),$(LEFT_OUT) (MARKERS=\"...\" includes them),nothing)."
	$(BIN)/mkdocs build --strict
	@echo "The site is in site/."

lint: .venv/.dev  ## style and types alone
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

docs: .venv/.dev  ## the site, in site/
	$(BIN)/python benchmarks/make_page.py
	$(BIN)/mkdocs build --strict

starter: .venv/.dev  ## the starter library of pretrained networks, in starter/ and starter.zip (needs MFMAT_DATA)
	OMP_NUM_THREADS=1 $(BIN)/python tools/make_starter_library.py starter

benchmark: .venv/.dev $(SECOND)/.dev  ## every benchmark, one after the other, then docs/benchmarks.md
	$(SECOND)/bin/python benchmarks/composition.py
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done
	$(BIN)/python benchmarks/make_page.py

check-matminer: $(SECOND)/.dev  ## the second environment: matminer as the judge, and pandas 2
	OMP_NUM_THREADS=1 $(SECOND)/bin/python -m pytest -n $(WORKERS) -m "not promise and not browser and not postgres" \
	    tests/features tests/datasets $(FACES) $(TABLES:%=tests/core/test_%.py)

check-wheel: .venv/.dev $(UV)  ## the wheel in empty environments: no extra, each alone, all together (PYTHON=python3.13 for another)
	OMP_NUM_THREADS=1 $(BIN)/python tools/check_wheel.py --uv $(UV) --python $$(command -v $(PYTHON))

check-oldest: $(OLDEST)/.dev  ## part of the tests with the oldest versions that pyproject.toml declares
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -m "not promise and not browser and not postgres and not matminer" \
	    -W ignore::DeprecationWarning -W ignore::FutureWarning $(OLDEST_TESTS)

benchmark-experts: .venv/.dev  ## the tables of experts and of fusions, and what experts cost (hours; goes on where it was stopped)
	$(BIN)/python benchmarks/experts.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/fusion.py
	$(BIN)/python benchmarks/fusion.py --data borlido-functionals hoip-perovskites molecule-polarizability pbe-hse-exp-formation-energy
	$(BIN)/python benchmarks/fusion.py --rows 500 --cheap 1500
	for rows in 100 250 500 1000; do $(BIN)/python benchmarks/fusion.py --rows $$rows; done
	$(BIN)/python benchmarks/thermoelectrics.py
	$(BIN)/python benchmarks/labels.py
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/calibration_loop.py
	$(BIN)/python benchmarks/campaigns.py
	$(BIN)/python benchmarks/transfer.py --leak
	$(BIN)/python benchmarks/transfer.py
	$(BIN)/python benchmarks/levels.py
	$(BIN)/python benchmarks/make_page.py

clean:  ## remove what was built, but not .venv
	rm -rf build dist site mfmat-demo.html .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.runtime: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e ".[report]"
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e ".[dev,report]"
	@touch $@ .venv/.runtime

$(UV):
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install -qq --disable-pip-version-check uv

$(OLDEST)/.dev: pyproject.toml Makefile $(UV)
	$(UV) venv --quiet --clear --python $$(command -v $(PYTHON)) $(OLDEST)
	$(UV) pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct -e ".[parquet,remote,report]" \
	    "pytest>=8.3" "hypothesis>=6.115" "beartype>=0.19"
	@touch $@

$(SECOND)/.dev: pyproject.toml constraints.txt Makefile
	test -x $(SECOND)/bin/python || $(PYTHON) -m venv $(SECOND)
	grep -v '^pandas' constraints.txt > $(SECOND)/constraints.txt
	printf '%s\n' $(SECOND_PINS) >> $(SECOND)/constraints.txt
	$(SECOND)/bin/pip install -qq --disable-pip-version-check -c $(SECOND)/constraints.txt -e ".[parquet,report]" \
	    pytest pytest-xdist hypothesis beartype crepes mapie smt uncertainty-toolbox matminer
	@touch $@
