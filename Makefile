# make demo         set up, run the main job on text that comes with Python, say where the report is
# make test         set up, run the tests
# make test-latest  the tests with the newest release of every package we allow
# make test-lowest  the tests with the oldest
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# what test-latest and test-lowest run: everything, unless you name files
TESTS ?=
# the part of the tests that another version of a library can break, for CI at both ends of the range
COMPATIBILITY := tests/models tests/encodings/test_front.py tests/extension/test_models.py \
  tests/api/test_extend.py tests/comparison/test_sweep.py tests/corpus/test_tokenizers.py tests/test_layers.py
PYTEST = OMP_NUM_THREADS=1 $(1)/bin/python -m pytest -n 2 --basetemp=build/pytest

.PHONY: demo test test-latest test-lowest compatibility slow fuzz matrix lock format lint types check clean

demo: $(READY)
	$(BIN)/milepost compare builtin:python-docs --out milepost-runs/demo

test: $(READY)
	@mkdir -p build
	$(call PYTEST,.venv)

# what `make test` leaves out for its time
slow: $(READY)
	@mkdir -p build
	$(call PYTEST,.venv) -m 'slow or large'

# environments of their own; torch alone stays the same, for one release of it is tested
test-latest: build/latest.txt
	$(call setup,.venv-latest,build/latest.txt,--upgrade --upgrade-strategy eager)
	$(call PYTEST,.venv-latest) $(TESTS)

test-lowest: build/lowest.txt
	$(call setup,.venv-lowest,build/lowest.txt,)
	$(call PYTEST,.venv-lowest) $(TESTS)

compatibility:
	$(MAKE) test-latest test-lowest TESTS='$(COMPATIBILITY)'

# 20,000 mutations of each kind of file that is read; `make fuzz FUZZ='data --first 5000'` goes on from a seed
fuzz: $(READY)
	$(BIN)/python -m benchmarks.fuzz $(FUZZ)

# every encoding in every family; `make test` fails when the page is older than what it describes
matrix: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore benchmarks/matrix.py --out docs/families.md --workers 2

# write constraints.txt again: the newest release of everything that `make` installs
lock: build/latest.txt
	rm -rf .venv-lock
	$(call setup,.venv-lock,build/latest.txt,)
	$(call install,.venv-lock,build/latest.txt,) --group lint --group types
	{ sed -n '/^#/p' constraints.txt; .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu$$//'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

format: $(READY)
	$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format .

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf .venv .venv-* build dist milepost-runs .pytest_cache .ruff_cache .mypy_cache .hypothesis

install = $(1)/bin/python -m pip install --quiet -c $(2) $(3)
# $(1) the folder of an environment, $(2) its constraints, $(3) more options of pip.
# torch first and alone: with the pinned one in place nothing else can bring another in
define setup
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "Python 3.11 or newer is needed; for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
$(PYTHON) -m venv $(1)
$(1)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
$(call install,$(1),$(2),) torch
$(call install,$(1),$(2),$(3)) --group test -e '.[all]'
-$(call install,$(1),$(2),) --group real
endef

$(READY): pyproject.toml constraints.txt
	$(call setup,.venv,constraints.txt,)
	$(call install,.venv,constraints.txt,) --group dev
	@touch $@

build/latest.txt: constraints.txt
	@mkdir -p build
	grep '^torch==' $< > $@

build/lowest.txt: pyproject.toml tools/lowest.py build/latest.txt $(READY)
	{ cat build/latest.txt; $(BIN)/python tools/lowest.py; } > $@
