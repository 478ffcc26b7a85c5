# Everything runs from a fresh checkout on Debian or Ubuntu; nothing is installed outside .venv and .tools.

PYTHON ?= python3
CONFIG ?= dcmrelay.toml
ARGS ?=
RESULTS ?= var/campaign.jsonl
TEST_TOOLS := rabbitmq-server dcmtk orthanc prometheus dicom3tools strace postgresql
LOCK := PIP_CONFIG_FILE=/dev/null .venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-options --no-emit-trusted-host

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench fuzz campaign up lock clean

help: ## list what make can do
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what is needed to run: the virtual environment and RabbitMQ, without root
	@PYTHON=$(PYTHON) ops/setup/venv run
	@ops/setup/tools rabbitmq-server

demo: setup ## start a relay and two receivers, send real studies, show what arrived where
	@ops/setup/tools dcmtk
	@.venv/bin/python -m dcmrelay.demo

test: ## install what is missing and run every test, with a real broker and real DICOM peers (ARGS="-k word")
	@PYTHON=$(PYTHON) ops/setup/venv dev
	@ops/setup/tools $(TEST_TOOLS)
	@.venv/bin/pytest $(ARGS)

check: ## check format, style, types and import rules
	@PYTHON=$(PYTHON) ops/setup/venv dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: ## measure the relay against the installed DCMTK and Orthanc (ARGS=--quick for three minutes, else twenty)
	@PYTHON=$(PYTHON) ops/setup/venv dev
	@ops/setup/tools $(TEST_TOOLS)
	@.venv/bin/python -m tests.bench $(ARGS)

fuzz: ## mutate what is sent to the ingress, fail it at every system call, ask for its health all day (10 minutes; ARGS="-k word")
	@PYTHON=$(PYTHON) ops/setup/venv dev
	@ops/setup/tools dcmtk strace
	@DCMRELAY_EXHAUSTIVE=1 .venv/bin/pytest -s tests/shared/dimse/test_hostile_fuzz.py tests/producers/ingress/test_faults.py \
		tests/system/test_storm.py $(ARGS)

campaign: ## kill, cut, fill and erase under load, and account for every instance (root; RESULTS=file ARGS="--minutes 45 --kinds kills")
	@PYTHON=$(PYTHON) ops/setup/venv dev
	@ops/setup/tools $(TEST_TOOLS)
	@.venv/bin/python -m tests.campaign run $(RESULTS) $(ARGS)

up: setup ## run the relay on this machine until Ctrl-C (CONFIG=dcmrelay.toml)
	@.venv/bin/dcmrelay up --config $(CONFIG)

lock: ## choose the newest allowed versions of all dependencies again and write the requirements files
	@PYTHON=$(PYTHON) ops/setup/venv dev
	@env -u PIP_FIND_LINKS $(LOCK) --upgrade --output-file requirements.txt pyproject.toml
	@env -u PIP_FIND_LINKS $(LOCK) --upgrade --constraint requirements.txt --extra dev --output-file requirements-dev.txt pyproject.toml
	@env -u PIP_FIND_LINKS $(LOCK) --upgrade --constraint requirements-dev.txt --build-deps-for editable --only-build-deps --output-file requirements-build.txt pyproject.toml

clean: ## remove what setup and the tests made; never a relay's own data
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
