# What a person does with a checkout of kit. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-doctor bench bench-train engine lint images pictures clean
PYTHON ?= python3
KIT := .venv/bin/kit

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: .venv/kit ## .venv with kit installed in it
	@.venv/bin/python -m compileall -q toolkit workloads # kit starts a third faster; some machines keep Python from doing so

.venv/kit: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'kit needs Python 3.11 or newer: make setup PYTHON=python3.12' >&2; exit 3; }
	@.venv/bin/python -c 'import csv' 2>/dev/null || $(PYTHON) -m venv --clear .venv # one that works stays, whichever Python is first now
	.venv/bin/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/test: .venv/kit
	.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

run: setup ## run the packaged workload, in a container where an engine answers
	$(KIT) run workload

test: .venv/test ## run the tests; starts an engine where it can, else skips what needs one
	@bash tests/run.sh

test-doctor: .venv/test ## how kit doctor judges every machine of the library
	@PYTHONPATH=. .venv/bin/python tests/confusion.py

bench: setup .venv/test ## where the time goes, as ratios taken in one run
	@PYTHONPATH=. .venv/bin/python tests/bench.py
	@PYTHONPATH=. .venv/bin/python tests/bench_explain.py
	@PYTHONPATH=. .venv/bin/python tests/bench_images.py

bench-train: setup .venv/test ## training and data against the plain tutorial, as ratios taken in one run
	@PYTHONPATH=. .venv/bin/python tests/bench_train.py

engine: ## find a container engine, or install and start one (Debian and Ubuntu, as root)
	@bash toolkit/engine/setup.sh

lint: .venv/test ## format, lint and types
	.venv/bin/ruff format --check toolkit workloads tests
	.venv/bin/ruff check toolkit workloads tests
	.venv/bin/mypy
	.venv/bin/hadolint images/*/*Dockerfile

images: .venv/test ## build and verify every row of image.toml
	@PYTHONPATH=. .venv/bin/python tests/all_images.py

pictures: setup .venv/test ## draw the README's pictures from real output
	PYTHONPATH=. .venv/bin/python tests/pictures.py
	KIT_PICTURES=$(CURDIR)/.pictures .venv/bin/pytest -q tests/test_own.py -k real_browser

clean: ## remove .venv, kit's cache, and the images and containers that kit made; your runs stay
	@bash toolkit/engine/clean.sh
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
