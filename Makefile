PROFILE ?= standard
EDGE_PORT ?= 8765
BIN := .venv/bin

.PHONY: setup setup-dev run test lint bench clean

setup:            ## install everything a device needs, and its models
	@scripts/setup.sh device $(PROFILE)

setup-dev:
	@scripts/setup.sh dev $(PROFILE)

run: setup        ## start the assistant and the kiosk page on 127.0.0.1:$(EDGE_PORT)
	@$(BIN)/edge-runtime serve --profile $(PROFILE) --port $(EDGE_PORT)

test: setup-dev   ## run every test
	@$(BIN)/pytest -n 2 --dist loadgroup

lint: setup-dev   ## style, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup-dev  ## measure speed and memory; prints tables, writes bench/results/*.json
	@$(BIN)/python -m bench

clean:            ## remove the environment (models and wheels stay in the user's cache folder)
	@rm -rf .venv build *.egg-info
