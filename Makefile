# Two commands, each complete on a fresh clone with Python >= 3.11, g++ and cmake:
#   make demo   everything installed into .venv, then the worked example; results in demo/
#   make test   everything installed into .venv, then the tests
# Variables: PYTHON=python3.12, VENV=path, WORKERS=2 (daemon workers), KEEP=1 (leave the demo's daemon running),
#   PYTEST_ARGS="-k name", PIP_TORCH="--index-url …" (options of pip for torch, such as the index of its CPU builds).

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=
PIP_TORCH ?=
TORCH := torch==2.13.0

BIN := $(abspath $(VENV))/bin
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
SOURCES := pyproject.toml CMakeLists.txt $(shell find aiida_lpsgb -type f -not -path '*/__pycache__/*' -not -name '*.so')
DEMO := $(CURDIR)/demo

export PATH := $(BIN):$(PATH)
# What is installed is compiled when it is first imported; without that, whenever it is.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint docs install clean

install: $(STAMP)

$(STAMP): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile $(PIP_TORCH) $(TORCH)
	$(BIN)/pip install --quiet --no-compile '.[labels]'
	touch $@

$(TEST_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --no-compile 'aiida-lpsgb[test]'
	touch $@

demo: $(STAMP)
	@mkdir -p $(DEMO)
	@KEEP=$(KEEP) .ci/demo $(DEMO) $(WORKERS)

test: $(TEST_STAMP)
	@.ci/test $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/pip install --quiet "$$(grep -o 'ruff==[0-9.]*' pyproject.toml)"
	$(BIN)/ruff check
	$(BIN)/ruff format --check

docs: $(STAMP)
	$(BIN)/pip install --quiet '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) build docs/_build
