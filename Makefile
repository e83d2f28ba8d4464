# Each target sets up what it needs, given only make and Python >= 3.11 with venv.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?= data
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo install ray serve page test engines check check-web fix screenshots bench chaos attack ci lock sbom audit clean

help:  ## List these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/.runtime  ## Train the three presets over REST, show the results, keep serving (EXIT=1 stops instead)
	$(BIN)/mlp-service demo --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR) $(if $(EXIT),--exit)

install: .venv/.runtime  ## Create .venv with the mlp-service command and the extra [server]

ray: .venv-ray/.installed  ## Install Ray into .venv-ray, for the tests that start a cluster

serve: .venv/.runtime  ## Serve on HOST:PORT (127.0.0.1:8000) with the data in DATA_DIR (./data)
	$(BIN)/mlp-service serve --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

page: .venv/.dev  ## Serve the page with sample jobs (in data-page/), and changes of its files at the next reload
	$(BIN)/python -m tests.support.sample_page --host $(HOST) --port $(PORT)

# Hundreds of processes start, so what Python has compiled is kept for the next one. Files of tests
# run in the order of their names: those of few, long tests come first, and one core is not idle
# for minutes at the end.
test: export PYTHONDONTWRITEBYTECODE :=
test: .venv/.dev  ## Run all tests and measure their coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='mlp_core/*' --fail-under=100
	$(BIN)/coverage report --include='service/*,mlp_client/*' --fail-under=90

# What these tests execute has been measured by `test`.
engines: export PYTHONDONTWRITEBYTECODE :=
engines: .venv/.dev  ## Run the tests of the API on PostgreSQL and a bucket
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --engine postgresql tests/service/api tests/service/server

check: .venv/.dev  ## Check format, lint, types, imports, the page, Dockerfile and compose file; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	tests/web_check/check.sh

check-web:  ## Check format, lint and types of the page's files (needs node and npm, else says so)
	tests/web_check/check.sh

fix: .venv/.dev  ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	tests/web_check/check.sh fix

screenshots: .venv/.dev  ## Take pictures of all states of the page (into screenshots/); K=empty: one of them
	$(BIN)/python -m tests.support.screenshots $(K)

bench: .venv/.dev  ## Compare the speed with other libraries (K=training: one part); writes docs/performance.*
	$(BIN)/python -m benchmarks $(K)

chaos: .venv/.dev  ## Run the fault campaigns in full, over an hour (K=worker_kills: one); writes docs/reliability.*
	$(BIN)/pytest --campaign --timeout 7200 tests/chaos$(if $(K),/test_$(K).py)

attack: .venv/.dev  ## Run the attack campaigns in full (K=bombs: one); writes docs/reliability.*
	$(BIN)/pytest --campaign --timeout 7200 tests/attack$(if $(K),/test_$(K).py)

ci: check test engines  ## Run what CI runs: check, and the tests on both engines

lock:  ## Rewrite requirements/*.txt from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra server -o requirements/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra server --extra cluster -c requirements/runtime.txt -o requirements/cluster.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --all-extras --group dev -o requirements/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --group build -o requirements/build.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --group generators -o requirements/generators.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --group ray -o requirements/ray.txt

sbom: .venv/.dev  ## Write sbom.json, a CycloneDX list of the run-time dependencies with hashes
	$(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml \
	  --output-reproducible --output-format JSON --output-file sbom.json

audit: .venv/.dev  ## Ask PyPI for known vulnerabilities; fails if a dependency can't be looked up
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	  $(foreach list,runtime cluster build dev generators ray,-r requirements/$(list).txt)

clean:  ## Remove the environment and the tests' caches, never the data directory
	rm -rf .venv .venv-ray .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is required; name one with make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "Python's venv module is missing; install the package python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/.runtime: .venv/.python requirements/runtime.txt requirements/build.txt pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Ray has an environment of its own, so that no version of it decides about versions of ours.
.venv-ray/.installed: .venv/.python requirements/ray.txt
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/ray.txt
	touch $@

.venv/.dev: .venv/.runtime requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@
