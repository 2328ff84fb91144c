.DEFAULT_GOAL := help
.PHONY: help demo up test check fmt crash-matrix histories map bench-otc-sell bench-ledger bench-reconcile bench-p2p openapi clean anvil
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
WORKERS ?= 2

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv: $(INSTALLED) ## Make the virtual environment with everything in it
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; choose one with: make PYTHON=python3.11"; exit 1; }
	@echo "installing Python packages into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ .venv

demo: $(INSTALLED) ## Start everything and show a sale, a payout and a refund
	@$(BIN)/liquida demo

up: $(INSTALLED) ## Start the whole system on this machine; Ctrl-C stops it
	@$(BIN)/liquida up

test: check anvil ## Check the code, then run all tests on real parts
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal

check: $(INSTALLED) ## Format, lint, types and import contracts
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

fmt: $(INSTALLED) ## Format the code and repair what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

crash-matrix: $(INSTALLED) anvil ## Kill every part at every step of a trade and compare all the books
	@rm -f .liquida/crash-matrix.jsonl
	@LIQUIDA_CRASH_MATRIX=$(CURDIR)/.liquida/crash-matrix.jsonl $(BIN)/pytest -n $(WORKERS) -m chaos tests/chaos
	@$(BIN)/python -m tests.chaos.table .liquida/crash-matrix.jsonl

histories: $(INSTALLED) anvil ## Record new workflow histories for the replay test
	@LIQUIDA_RECORD_HISTORIES=1 $(BIN)/pytest tests/flows/test_replay_and_privacy.py tests/flows/test_p2p.py \
		tests/flows/test_webhook_delivery.py -k "histor or delivery"

map: $(INSTALLED) ## Write docs/map.md: which files speak of which noun
	@$(BIN)/liquida map

bench-otc-sell: $(INSTALLED) anvil ## Trades per second against no-op workflows on the same server
	@$(BIN)/python -m bench.otc_sell

bench-ledger: $(INSTALLED) ## Postings per second against raw SQL, django-hordak and TPC-B on the same server
	@$(BIN)/python -m bench.ledger

bench-p2p: $(INSTALLED) ## Memory and timer lag of 1,000 open P2P trades, against bare timers on the same server
	@$(BIN)/python -m bench.p2p

bench-reconcile: $(INSTALLED) ## How often reconciliation is right, and how fast, against a plain SQL join
	@$(BIN)/python -m bench.reconcile

openapi: $(INSTALLED) ## Write docs/openapi.json
	@$(BIN)/liquida openapi > docs/openapi.json

clean: ## Remove the virtual environment and caches; the state in .liquida stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

anvil: $(INSTALLED)
	@$(BIN)/python -m liquida.stack.evm_node .liquida
