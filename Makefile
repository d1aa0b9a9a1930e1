# Everything happens in .venv; `make demo` and `make test` need nothing but Python 3.11.
PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
PACKAGES = package runs circuits backends tn qml mitigation cli
SOURCES = $(shell find $(PACKAGES) -name '*.py' -o -name '*.pyi' | sort) cli/documents/template.html

.PHONY: demo test test-slow check format docs-tables clean

demo: $(VENV)/installed
	$(BIN)/bondwise vqe --model heisenberg --size 8 --max-bond 8 --layers 2 --backend fake:torino \
	  --mitigate exponential --out runs/demo --overwrite

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow -n auto --dist worksteal

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

# torch comes first and pinned: asked for loosely, pip fetches gigabytes of CUDA packages.
$(VENV)/dependencies: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q $(shell grep '^torch==' constraints.txt)
	touch $@

# The strict editable install links every file, so that mypy sees them; a new file needs it again.
$(VENV)/files: FORCE $(VENV)/dependencies
	@echo "$(SOURCES)" | cmp -s - $@ || echo "$(SOURCES)" > $@

$(VENV)/installed: pyproject.toml constraints.txt $(VENV)/files
	$(BIN)/pip install -q -c constraints.txt -e '.[test]' --config-settings editable_mode=strict
	touch $@

FORCE:

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
