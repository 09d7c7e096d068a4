# Two commands set everything up on a machine with Python 3.11 or later:
#   make toy    runs the whole method on the embedded toy streets (minutes on two CPU cores)
#   make test   runs the tests
# A third shows how people label, on a page in a browser:
#   make annotate-demo
PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/toy
DEMO ?= runs/annotate-demo
TEST_PROCESSES ?= 3
BIN := $(VENV)/bin

.PHONY: toy annotate-demo test lint format clean

# The first word lets Linux give memory out in large pages: a tenth less time, where glibc knows it.
toy: $(VENV)/.installed
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $(BIN)/python scripts/main.py --config=configs/toy.py --workdir=$(WORKDIR)

# The run asks for its first labels and ends with 75; then it waits beside the page, and goes on by itself.
DEMO_RUN = $(BIN)/python scripts/main.py --config=configs/toy.py --config.oracle.kind=people \
	--config.acquisition.rounds=2 --config.warmup.steps=60 --config.finetune.steps=60 --workdir=$(DEMO)

annotate-demo: $(VENV)/.installed-annotate
	$(DEMO_RUN) || test $$? -eq 75
	$(DEMO_RUN) --wait > $(DEMO)/main.log 2>&1 & run=$$!; trap "kill $$run" EXIT; \
	$(BIN)/python scripts/annotate.py --workdir=$(DEMO) --open

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: requirements.txt pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-annotate: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[annotate]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
