# Every target works from a fresh clone: it creates the virtual environment first.
#   make run [PORT=9000]   make test [ARGS="quotas -k hold"]   make test-slow   make conformance   make compat   make check

VENV := .venv
PYTHON := $(VENV)/bin/python
TEST_POSTGRES := $(CURDIR)/.data/postgres-test
MODELS_DIR ?= $(CURDIR)/.data/models
ARGS ?=

# Checks and tests use a separate cluster from `make run`. It is always stopped at the end, unless other
# tests are using it.
APART := PYTHONDONTWRITEBYTECODE= MODELS_DIR='$(MODELS_DIR)' POSTGRES_DIR='$(TEST_POSTGRES)' PYTHONPATH=.:platform
STOP_CLUSTER := PYTHONPATH=.:platform $(PYTHON) -m devserver.embedded_postgres stop-unused '$(TEST_POSTGRES)'

RUN_STAMP := $(VENV)/.installed-$(shell cat requirements.txt | cksum | cut -d' ' -f1)
DEV_STAMP := $(VENV)/.installed-dev-$(shell cat requirements.txt requirements-dev.txt | cksum | cut -d' ' -f1)

.PHONY: run backup restore test test-slow cases conformance compat bench bench-peers check tools weights
.DEFAULT_GOAL := run

run: $(RUN_STAMP)
	@PYTHONPATH=.:platform exec $(PYTHON) -m devserver.up

# docs/backup.md: make backup FILE=/path/to/switchyard.dump, also while Switchyard runs; make restore FILE=…
backup restore: $(RUN_STAMP)
	@PYTHONPATH=.:platform exec $(PYTHON) -m devserver.postgres_backup $@ '$(FILE)'

# In two processes, each with its own database; ARGS="-n 0" uses one process.
test: $(DEV_STAMP) tools weights
	@trap "$(STOP_CLUSTER)" EXIT; $(APART) $(PYTHON) -m pytest -m "not slow" -n 2 --dist loadfile $(ARGS)

# In two processes. The tests that measure time or CPU run alone afterwards.
test-slow: $(DEV_STAMP) tools weights
	@trap "$(STOP_CLUSTER)" EXIT; export $(APART); none=5; \
	$(PYTHON) -m pytest -m "slow and not alone" -n 2 --dist loadfile $(ARGS); together=$$?; \
	$(PYTHON) -m pytest -m "slow and alone" $(ARGS); alone=$$?; \
	test $$together = 0 -o $$together = $$none -a $$alone = 0 || exit $$together; \
	test $$alone = 0 -o $$alone = $$none || exit $$alone

# See tests/cases/README.md. make cases ARGS="--case 'empty data'" plays one case and shows its requests and answers.
cases: $(DEV_STAMP)
	@trap "$(STOP_CLUSTER)" EXIT; $(APART) $(PYTHON) -m pytest -m slow -q --tb=no -rN tests/cases $(ARGS)

# Also against a real LibreChat if LIBRECHAT_URL, EGRESS_URL and EGRESS_SECRETS are set.
conformance: $(DEV_STAMP) tools weights
	@trap "$(STOP_CLUSTER)" EXIT; $(APART) $(PYTHON) -m pytest -m conformance $(ARGS)

# Real clients from the registries. If all of them ran, it writes the table of results into docs/clients.md.
compat: $(DEV_STAMP) tools weights
	@trap "$(STOP_CLUSTER)" EXIT; $(APART) COMPAT_TABLE=1 $(PYTHON) -m pytest -m compat -s -q --tb=short $(ARGS)

bench: $(DEV_STAMP)
	@trap "$(STOP_CLUSTER)" EXIT; $(APART) $(PYTHON) -m pytest -q -p no:cacheprovider benchmarks/bench_*.py

# Plays tests/cases on Switchyard and on LiteLLM's proxy, and compares them in docs/peers.md. Takes several minutes.
PEER := .data/peers/litellm
PEER_STAMP := $(PEER)/.installed-$(shell cat benchmarks/peers/requirements.txt | cksum | cut -d' ' -f1)

bench-peers: $(DEV_STAMP) $(PEER_STAMP)
	@trap "$(STOP_CLUSTER)" EXIT; $(APART) $(PYTHON) -m pytest -q -p no:cacheprovider benchmarks/peers/bench_peers.py $(ARGS)

$(PEER_STAMP):
	@echo "Installing LiteLLM in a separate environment …"
	@$(PYTHON) -m venv $(PEER)
	@$(PEER)/bin/python -m pip install --quiet --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	@touch $@

check: $(DEV_STAMP)
	@trap "$(STOP_CLUSTER)" EXIT; set -e; export $(APART); \
	$(PYTHON) -m ruff check .; \
	$(PYTHON) -m ruff format --check .; \
	DATABASE_URL=postgresql://unused/unused $(PYTHON) -m mypy; \
	$(VENV)/bin/lint-imports; \
	$(PYTHON) manage.py makemigrations --check --dry-run; \
	$(PYTHON) manage.py check; \
	$(PYTHON) manage.py spectacular --validate --fail-on-warn --file /dev/null; \
	echo "Everything is in order."

tools:
	@for tool in chromium:browser redis-server:Redis nginx:nginx npm:npm docker-compose:Compose zsh:zsh; do \
	  command -v $${tool%%:*} >/dev/null || \
	    echo "$${tool##*:} tests are skipped: $${tool%%:*} is not installed."; \
	done

weights: $(DEV_STAMP)
	@PYTHONPATH=.:platform $(PYTHON) -m gateway.providers.weights '$(MODELS_DIR)' >/dev/null
	@PYTHONPATH=.:platform $(PYTHON) -m gateway.providers.weights '$(MODELS_DIR)' embedding >/dev/null || \
	  echo "Tests of the built-in embedding model are skipped: its weights could not be fetched."

$(PYTHON):
	@for python in python3.11 python3; do \
	  command -v $$python >/dev/null || continue; \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  echo "Creating the virtual environment ($$python) …"; \
	  $$python -m venv $(VENV) && exit 0; \
	  rm -rf $(VENV); \
	  echo "The virtual environment could not be created. On Debian: apt-get install python3-venv" >&2; \
	  exit 1; \
	done; \
	echo "Switchyard needs Python 3.11 or newer; neither python3.11 nor a recent python3 was found." >&2; \
	exit 1

$(RUN_STAMP): $(PYTHON)
	@echo "Installing the pinned requirements …"
	@$(PYTHON) -m pip install --quiet --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(DEV_STAMP): $(PYTHON)
	@echo "Installing the pinned requirements for development …"
	@$(PYTHON) -m pip install --quiet --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
