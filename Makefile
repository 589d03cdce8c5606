# Two commands do all the set-up: `make demo` and `make test`. Both make .venv when it is missing and reuse it after that.
# PYTHON is the interpreter the environment is made from; PYTEST_FLAGS and BENCH_FLAGS are passed on.

PYTHON ?= python3
PYTEST_FLAGS ?=
BENCH_FLAGS ?=
CHROMIUM ?= /usr/bin/chromium

BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test browser lint format types wheel bench clean

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(STAMP) ## Train on real handwritten digits and show what the compiler does
	$(BIN)/graphdl demo

test: $(STAMP)-test ## Run the tests
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

browser: $(STAMP)-browser ## Test the explorer and the page of examples/web in the Chromium at CHROMIUM=/usr/bin/chromium
	$(BIN)/python -m pytest --chromium $(CHROMIUM) tests/test_explorer.py tests/test_web.py $(PYTEST_FLAGS)

lint: $(STAMP)-test ## Check style and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)-test ## Mend style and layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)-test ## Check types, with mypy and pyright
	$(BIN)/mypy
	$(BIN)/pyright

# An earlier build/ would leak its files into the wheel. The wheel is then tried from a folder of its own, beside nothing else.
wheel: $(STAMP)-test ## Build dist/*.whl and try what is in it
	rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation
	$(PIP) --no-deps --target build/installed dist/graphdl-*.whl
	PYTHONPATH=build/installed $(BIN)/python -P -c "import graphdl, graphdl.data, graphdl.passes, graphdl.backends.native; \
		assert 'installed' in graphdl.__file__, graphdl.__file__; print(len(graphdl.data.load_digits()[1]), 'digits read from the wheel')"

bench: $(STAMP)-bench ## Compare with PyTorch, JAX and ONNX Runtime
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

clean: ## Remove .venv and everything built
	rm -rf .venv build dist runs *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml | $(BIN)/python
	@echo "installing graphdl into .venv"
	@$(PIP) --editable .
	@touch $@

$(STAMP)-test: pyproject.toml | $(BIN)/python
	@echo "installing graphdl and what its tests need into .venv"
	@$(PIP) --editable '.[test]'
	@touch $@ $(STAMP)

$(STAMP)-bench: pyproject.toml | $(BIN)/python
	@echo "installing graphdl and what it is compared with into .venv"
	@$(PIP) --editable '.[test,plot,bench]'
	@touch $@ $(STAMP)-test $(STAMP)

$(STAMP)-browser: pyproject.toml | $(BIN)/python
	@echo "installing graphdl and what its browser tests need into .venv"
	@$(PIP) --editable '.[test,browser]'
	@touch $@ $(STAMP) $(STAMP)-test

# Everything is installed into .venv, never into the system's Python (PEP 668). Debian's python3 lacks ensurepip unless
# python3-venv is there; a pip of its own then serves to put pip into .venv.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "graphdl needs Python 3.11 or newer and $(PYTHON) is not; name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv \
		|| { $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $@ install --quiet pip; } \
		|| { rm -rf .venv; echo "$(PYTHON) can make no virtual environment: on Debian or Ubuntu, apt install python3-venv;" \
			"elsewhere, name a Python that has venv and ensurepip: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
