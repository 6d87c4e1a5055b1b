# Two commands need nothing but Python 3.11: `make demo` and `make test`. LOCKED=1 installs the versions of the lock files.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCKED ?=

.PHONY: demo test lint docs clean

demo: $(VENV)/.demo  ## train a small grid on the embedded data, offline on the CPU, and report
	$(BIN)/python train.py experiment=demo
	$(BIN)/lightning-seg status demo
	$(BIN)/lightning-seg report demo

test: $(VENV)/.test lint  ## lint, type check, whole test suite
	$(BIN)/pytest -n logical --dist loadfile --no-loadscope-reorder --maxfail=25 --durations=15

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.test  ## the site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.demo: pyproject.toml | $(VENV)
	@echo "Installing PyTorch and the rest into $(VENV): some minutes"
	$(if $(LOCKED),$(BIN)/pip install --requirement requirements.lock)
	$(BIN)/pip install $(if $(LOCKED),--no-deps) --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)
	@echo "Installing PyTorch and the rest into $(VENV): some minutes"
	$(if $(LOCKED),$(BIN)/pip install --quiet --requirement requirements-dev.lock)
	$(BIN)/pip install --quiet $(if $(LOCKED),--no-deps) --editable '.[dev]'
	touch $@

$(VENV):
	$(PYTHON) -m venv $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
