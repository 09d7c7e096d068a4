# Two commands set everything up on a machine with Python 3.11 or later:
#   make toy    runs the whole method on the embedded toy streets (minutes on two CPU cores)
#   make test   passes the tests
PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/toy
TEST_PROCESSES ?= 3
BIN := $(VENV)/bin

.PHONY: toy test lint format clean

toy: $(VENV)/.installed
	$(BIN)/python scripts/main.py --config=configs/toy.py --workdir=$(WORKDIR)

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
