# make demo    set up, run the main job on text that comes with Python, say where the report is
# make test    set up, run the tests
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test slow matrix format lint types check clean

demo: $(READY)
	$(BIN)/milepost compare builtin:python-docs --out milepost-runs/demo

test: $(READY)
	@mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --basetemp=build/pytest

# what `make test` leaves out for its time
slow: $(READY)
	@mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --basetemp=build/pytest -m 'slow or large'

# every encoding in every family; `make test` fails when the page is older than what it describes
matrix: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore benchmarks/matrix.py --out docs/families.md --workers 2

format: $(READY)
	$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format .

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf .venv build dist milepost-runs .pytest_cache .ruff_cache .mypy_cache .hypothesis

# torch first and alone: with the pinned one in place nothing else can bring another in
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev -e '.[all]'
	-$(BIN)/python -m pip install --quiet -c constraints.txt --group real
	@touch $@
