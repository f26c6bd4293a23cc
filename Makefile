# One command for each thing that is done often; `make help` lists them.
# Works in a fresh clone with Python 3.11 or newer; choose one with `make PYTHON=/path/to/python3.12 ...`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# Torch on a few cores runs faster with idle threads asleep, and side by side with other tests.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
export PIP_NO_INPUT ?= 1

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; \
	done)
# More arguments for pip, such as where to get another build of torch.
PIP_ARGS ?=
JOBS ?= 2

# A stamp carries the hash of what it was made from, so that a changed lock installs again.
HASH := $(shell cat requirements/cpu.lock requirements/dev.lock pyproject.toml 2>/dev/null | cksum | tr ' ' -)
RUN_STAMP := $(VENV)/.installed-run-$(HASH)
DEV_STAMP := $(VENV)/.installed-dev-$(HASH)
RAY_VENV ?= $(VENV)-ray
RAY_STAMP := $(RAY_VENV)/.installed-$(HASH)
AW_VENV ?= $(VENV)-androidworld
AW_STAMP := $(AW_VENV)/.installed-$(shell cat requirements/androidworld.txt 2>/dev/null | cksum | tr ' ' -)
# The others look at models and results that must be there first, or are a part of several.
BENCHMARKS := $(filter-out %_workload.py %/demo_tasks.py %/paired_success.py,$(sort $(wildcard benchmarks/*.py)))

.PHONY: help install dev quickstart test check lint typecheck pytest test-ray test-adbd test-androidworld androidworld-env test-phone browser gpu-smoke bench lock wheel clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer (with venv and ensurepip) was not found; set PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(RUN_STAMP): | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -r requirements/cpu.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-run-* && touch $@

$(DEV_STAMP): $(RUN_STAMP)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -r requirements/dev.lock
	@rm -f $(VENV)/.installed-dev-* && touch $@

install: $(RUN_STAMP) ## create .venv and install what running needs

dev: $(DEV_STAMP) ## create .venv and install what testing needs too

quickstart: $(RUN_STAMP) ## train and judge a tiny agent on a virtual phone, CPU only
	$(BIN)/gui-agent pipeline --recipe quickstart

test: $(DEV_STAMP) browser lint typecheck pytest ## lint, check types, and run all tests

check: test

lint: $(DEV_STAMP) ## ruff, formatting, order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

typecheck: $(DEV_STAMP) ## mypy --strict
	$(BIN)/mypy

pytest: $(DEV_STAMP)
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

# Ray is large and serves farms across computers only: it lies in an environment of its own on top of .venv.
# It has no pip, and with it no setuptools, which would be older than what .venv has and hide that.
$(RAY_STAMP): $(DEV_STAMP)
	$(BIN)/python -m venv --clear --without-pip $(RAY_VENV)
	packages='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		own=$$($(RAY_VENV)/bin/python -c "$$packages") && \
		echo "import site; site.addsitedir('$$($(BIN)/python -c "$$packages")')" > "$$own/below.pth"
	$(BIN)/python -m pip --python $(RAY_VENV)/bin/python install --quiet $(PIP_ARGS) --no-build-isolation -e '.[ray]'
	@rm -f $(RAY_VENV)/.installed-* && touch $@

test-ray: $(RAY_STAMP) ## farms of devices across computers, on a local Ray cluster
	$(RAY_VENV)/bin/python -m pytest -m ray tests/contract $(PYTEST_ARGS)

test-adbd: $(DEV_STAMP) ## the contract of devices through Debian's adbd, in a sandbox
	@bash tests/unpack_adbd.sh $(VENV)/adbd
	@folder=$(VENV)/adbd; [ -d "$$folder" ] || folder=/; \
		GUI_AGENT_ADBD=$${GUI_AGENT_ADBD:-$$folder} $(BIN)/python -m pytest -m adbd tests/contract $(PYTEST_ARGS)

$(AW_STAMP):
	"$(PYTHON)" -m venv $(AW_VENV)
	$(AW_VENV)/bin/python -m pip install --quiet $(PIP_ARGS) -r requirements/androidworld.txt
	@rm -f $(AW_VENV)/.installed-* && touch $@

androidworld-env: $(AW_STAMP) ## a Python that has what AndroidWorld's tasks import
	@echo "export GUI_AGENT_ANDROID_WORLD_PYTHON=$(abspath $(AW_VENV))/bin/python"

test-androidworld: $(DEV_STAMP) $(AW_STAMP) ## AndroidWorld's own tasks on virtual phones, CHECKOUT=...
	@test -n "$(CHECKOUT)" || { echo "where is it? make test-androidworld CHECKOUT=...; docs/androidworld.md says how to get it" >&2; exit 1; }
	GUI_AGENT_ANDROID_WORLD="$(abspath $(CHECKOUT))" GUI_AGENT_ANDROID_WORLD_PYTHON="$(abspath $(AW_VENV))/bin/python" \
		$(BIN)/python -m pytest -m androidworld tests/e2e $(PYTEST_ARGS)

test-phone: $(DEV_STAMP) ## the contract of devices on a connected phone, SERIAL=...
	@test -n "$(SERIAL)" || { echo "which phone? make test-phone SERIAL=...; these are connected:" >&2; \
		$(BIN)/gui-agent devices list >&2; exit 1; }
	$(BIN)/python -m pytest tests/contract --android-serial "$(SERIAL)" $(PYTEST_ARGS)

browser: $(DEV_STAMP) ## install Debian's Chromium where no browser is found and that is possible
	@bash tests/install_browser.sh $(BIN)/python

gpu-smoke: $(RUN_STAMP) ## one training step of a small model on a CUDA device
	$(BIN)/python -m trainers.gpu_smoke

bench: $(DEV_STAMP) ## time the hot paths beside their baselines
	@for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

lock: $(DEV_STAMP) ## write requirements/*.lock from what .venv has
	$(BIN)/python requirements/make_lock.py

wheel: $(RUN_STAMP) ## build a wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove caches and builds
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## remove the environments too
	rm -rf $(VENV) $(RAY_VENV)
