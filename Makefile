# What a fresh machine needs is Python 3.11 or newer and make; everything else goes into .venv.
# PYTHON=/path/to/python3 names another interpreter than the newest on the PATH.

RUNTIME = requirements.txt
SUITE = requirements.txt requirements-test.txt

.DEFAULT_GOAL = help
.PHONY: help demo test lint bench bench-pages drift-study screenshots lock clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## Set up everything, train on the shipped tickets, serve; Ctrl-C stops it
	@sh tools/bootstrap.sh $(RUNTIME)
	@.venv/bin/python manage.py quickstart

test: ## Set up everything and run the tests with their coverage
	@sh tools/bootstrap.sh $(SUITE)
	@.venv/bin/python -m pytest --cov --cov-report=term
	@.venv/bin/python -m coverage report --include='classifier/ml/*' --fail-under=100

lint: ## Check format, rules, types and who imports whom
	@sh tools/bootstrap.sh $(SUITE)
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy
	@.venv/bin/lint-imports

bench: ## Time the serving model against the scikit-learn pipeline
	@sh tools/bootstrap.sh $(RUNTIME)
	@.venv/bin/python tests/bench/textmodel.py

bench-pages: ## Time each page on a large Postgres database: BENCH_DATABASE_URL names an empty one
	@sh tools/bootstrap.sh $(SUITE)
	@.venv/bin/python tests/bench/pages.py

drift-study: ## See how often drift is found where there is some, and where there is none
	@sh tools/bootstrap.sh $(RUNTIME)
	@.venv/bin/python tests/bench/drift_study.py

screenshots: ## Draw the pictures of the pages that the README shows, from a demonstration
	@sh tools/bootstrap.sh $(SUITE)
	@.venv/bin/python -m tests.screenshots

lock: ## Pin all packages anew, after a change in pyproject.toml
	@sh tools/lock.sh

clean: ## Remove .venv and all caches; what the program wrote (var) stays
	rm -rf .venv .*_cache .hypothesis .coverage .coverage.* htmlcov *.egg-info
	find . -path ./var -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
