# Each target makes .venv and installs what it needs; only Python ≥ 3.11, make and a package
# registry are presumed.
PYTHON ?= python3
BIN := .venv/bin
CASES ?= 20000

.PHONY: demo test test-cluster torture fuzz check bench clean

demo: .venv/installed ## phantom films, packed, trained on 2 workers, evaluated, reported
	$(BIN)/rayograph demo demo

test: .venv/installed ## all tests that take seconds; under 10 minutes on 2 cores
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not cluster'

test-cluster: .venv/installed ## tests that take minutes: sweeps on clusters, killed and resumed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m cluster

torture: .venv/installed ## kill -9 at random moments, 24 times; see docs/reliability.md
	$(BIN)/python -u -m tests.torture $(TORTURE)

fuzz: .venv/installed ## hostile files into everything that reads files; CASES=20000
	$(BIN)/python -m tests.fuzz --cases $(CASES)

check: .venv/installed ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv-bench/installed ## reading films: ours, the peers, the limits; 40 minutes, 2 quiet cores
	.venv-bench/bin/python -m benchmarks.loading $(BENCH)

clean:
	rm -rf .venv .venv-bench demo

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# An environment of its own: MosaicML Streaming wants an older numpy than ours.
.venv-bench/installed: pyproject.toml benchmarks/constraints.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --constraint benchmarks/constraints.txt --editable '.[bench]'
	touch $@
