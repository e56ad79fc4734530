.PHONY: demo test check bench bench-learning clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

demo: $(STAMP)
	$(BIN)/python examples/plates/demo.py

test: check
	$(BIN)/python -m pytest -n 2

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_structure.py

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks

# Makes the data of all tasks, trains what is recommended and the others for 5 minutes
# on each of their forms, three times, and reports: the extra `benchmark`, two days.
bench-learning: $(STAMP)
	$(BIN)/python -m tests.benchmarks.learning --seed 0 1 2 --model recommended \
	    "GINO (neuraloperator)" Transolver "PointTransformer (PyG)" MeshGraphNet
	$(BIN)/python -m tests.benchmarks.learning --report

# torch first and alone: the pinned version is then what every other package finds.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $(STAMP)

clean:
	rm -rf .venv demo-output
