# Nothing but make and Python >= 3.11 (with venv) is needed: every target makes .venv from hash-locked files first.

PYTHON ?= python3
PORT ?=
ONCE ?=
ONLY ?=
PYTEST_ARGS ?=
PROCESSES ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/tools
TOOLS_STAMP := $(TOOLS)/.installed
LOCKS := requirements/runtime.txt requirements/dev.txt
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
PYTEST := $(BIN)/pytest -n 2 --dist loadgroup
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help install demo serve bench test coverage soak lint lint-api format reset lock clean $(VENV)

help: ## Show the targets
	@echo "make install         install the program and its tools in .venv; then .venv/bin/ledger --help"
	@echo "make demo            import the example class and serve it (PORT=9000 instead of 8000; ONCE=1 runs the main job and exits)"
	@echo "make test            run the tests"
	@echo "make coverage        the same with branch coverage and its floors, as CI does (PROCESSES=1 traces the processes that tests start, too)"
	@echo "make lint            ruff, mypy --strict, import-linter, squawk"
	@echo "make lint-api        redocly and spectral on the OpenAPI document (needs npm)"
	@echo "make format          let ruff format and fix what it can"
	@echo "make serve           serve the API (PORT=9000 instead of 8000)"
	@echo "make bench           compare with the stock event store, both measured in one run (ONLY=sealing_cost measures one figure)"
	@echo "make soak            faults and load for an hour or more (PYTEST_ARGS='-k failover' for some of it)"
	@echo "make reset           delete the data of the demo and start over"
	@echo "make lock            write requirements/*.txt anew (UPGRADE=1 takes newer versions)"
	@echo "make clean           delete .venv and the tools' caches (data stays; see reset)"

$(VENV): $(STAMP)

# The stamp is written last, so an interrupted installation is repeated. pyproject.toml is here for the console script.
$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not. Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "This Python lacks the venv module (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements/runtime.txt -r requirements/dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Programs that want other versions of libraries than the service have an environment of their own.
$(TOOLS_STAMP): requirements/tools.txt $(STAMP)
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r requirements/tools.txt
	@touch $@

install: $(STAMP) ## Install the program and its tools in .venv

demo: $(STAMP) ## Import the example class and serve it
	@exec $(BIN)/ledger demo $(if $(filter-out 0,$(ONCE)),--once,$(if $(PORT),--port $(PORT)))

serve: $(STAMP) ## Serve the API
	@exec $(BIN)/ledger serve $(if $(PORT),--port $(PORT))

bench: $(STAMP) ## Compare with the stock event store, and sealing with not sealing
	@exec $(BIN)/ledger bench $(if $(ONLY),--only $(ONLY))

test: $(STAMP) $(TOOLS_STAMP) ## Run the tests
	$(PYTEST) $(PYTEST_ARGS)

# Tracing takes as long as half of the tests; what CI runs is this.
coverage: $(STAMP) $(TOOLS_STAMP) ## The same with branch coverage, and its floors
	$(if $(PROCESSES),COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml) $(PYTEST) --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/coverage report --skip-covered --skip-empty
	$(BIN)/coverage report --include='ledger/aggregates/*,ledger/streams/*' --skip-covered --fail-under=95
	$(BIN)/coverage report --include='ledger/store/*' --skip-covered --fail-under=95

soak: $(STAMP) $(TOOLS_STAMP) ## Faults and load, seeded; each prints its seed and its figures
	$(BIN)/pytest -n 0 -s -m soak $(PYTEST_ARGS)
	LEDGER_TESTS_EXAMPLES=20 $(BIN)/pytest -n 0 --timeout 1800 $(PYTEST_ARGS) tests/property || test $$? = 5

lint: $(STAMP) ## ruff, mypy --strict, import-linter, squawk
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@for file in ledger/store/migrations/*.sql; do \
		sed 's/{schema}/ledger/g' $$file | $(BIN)/squawk --config .squawk.toml --stdin-filepath $$file || exit 1; done

# Needs npm: two linters of OpenAPI that there is nothing like in Python.
lint-api: $(STAMP) ## redocly and spectral on the OpenAPI document
	@command -v npx >/dev/null || { \
		echo "npm is needed for the linters of OpenAPI (https://nodejs.org; on Debian and Ubuntu: apt install npm)." >&2; exit 1; }
	@mkdir -p build
	$(BIN)/python -m tests.support.document build/openapi.json
	npx --yes @redocly/cli@2.77.0 lint --config .redocly.yaml build/openapi.json
	npx --yes @stoplight/spectral-cli@6.16.3 lint --ruleset .spectral.yaml --fail-severity warn build/openapi.json

format: $(STAMP) ## Let ruff format and fix what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

reset: $(STAMP) ## Delete the data and start over
	@exec $(BIN)/ledger reset --yes

lock: $(STAMP) ## Write the locked requirement files anew
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/runtime.in -o requirements/runtime.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/dev.in -o requirements/dev.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/tools.in -o requirements/tools.txt
	@! grep -n '://' requirements/*.txt || { echo "An address got into a locked file." >&2; exit 1; }

clean: ## Delete .venv and caches
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
