.PHONY: install lint test slow bench time-to-quality smoke viz lock

install:  ## the environment and the commit hooks
	uv sync
	uv run pre-commit install

lint:  ## what CI checks before the tests
	uv run ruff check --fix
	uv run ruff format
	uv run lint-imports
	uv run mypy
	uv run pydoclint --quiet src

test:  ## the suite, offline, two files of tests at a time
	uv run pytest -n 2 --dist loadfile

slow:  ## the tests that take minutes
	uv run pytest -m slow

bench:  ## what the project's own work costs, beside bare loops and other recipes
	uv run pytest tests/benchmarks --benchmark-enable --benchmark-only -s

time-to-quality:  ## the recipe of conf/ham10000 against the prior one, over minutes of training (hours)
	uv run python tests/benchmarks/time_to_quality.py

smoke:  ## the whole graph in miniature
	uv run kedro run --env test

viz:  ## the pipelines in a browser
	uv run kedro viz run

lock:  ## the versions of this environment
	uv export --format requirements-txt --no-emit-index-url --no-hashes --no-emit-project --no-header --quiet --output-file requirements.lock
