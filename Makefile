# Everything happens in .venv; `make demo` and `make test` need nothing but Python.
PYTHON ?= $(firstword $(foreach minor,11 12 13,$(shell command -v python3.$(minor))))
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN = $(VENV)/bin
PACKAGES = package runs circuits backends tn qml mitigation cli
SOURCES = $(shell find $(PACKAGES) -name '*.py' -o -name '*.pyi' | sort) cli/documents/template.html

.PHONY: demo test test-slow test-versions check format docs-tables clean

demo: $(VENV)/installed
	$(BIN)/bondwise vqe --model heisenberg --size 8 --max-bond 8 --layers 2 --backend fake:torino \
	  --mitigate neural --out runs/demo --overwrite

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow -n auto --dist worksteal

# every supported Python that is installed, and the oldest supported dependencies: an hour and several GB
test-versions:
	$(PYTHON) .ci/versions.py

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p bondwise
	$(BIN)/python -m pytest tests/test_architecture.py

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs-tables: $(VENV)/installed
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/compression_tables.py
	$(BIN)/python docs/mitigation_tables.py
	$(BIN)/python docs/vqe_figure.py

# torch comes first and pinned: asked for loosely, pip fetches gigabytes of CUDA packages.
$(VENV)/dependencies: $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q $(shell grep '^torch==' $(CONSTRAINTS))
	touch $@

# The strict editable install links every file, so that mypy sees them; a new file needs it again.
$(VENV)/files: FORCE $(VENV)/dependencies
	@echo "$(SOURCES)" | cmp -s - $@ || echo "$(SOURCES)" > $@

$(VENV)/installed: pyproject.toml $(CONSTRAINTS) $(VENV)/files
	$(BIN)/pip install -q -c $(CONSTRAINTS) -e '.[test]' --config-settings editable_mode=strict
	touch $@

FORCE:

clean:
	rm -rf $(VENV) .venvs build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
