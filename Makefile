# The two commands of the README are `make demo` and `make test`. Everything is installed into .venv, nothing outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := $(CURDIR)
export DAGSTER_DISABLE_TELEMETRY := yes
export GX_ANALYTICS_ENABLED := false
# Python must be allowed to keep compiled bytecode: without it every start compiles Dagster and Great Expectations anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint format up down lock dictionary snapshots soak storm crash-points screenshots peers extract-peers spark clean

demo: $(VENV)/.installed  ## real orders from a Salesforce to a D365, compared, reported; then the Dagster UI
	@$(BIN)/tieout up --detach --seed generated:5000 --run

test: $(VENV)/.installed $(VENV)/.browser  ## the whole suite: real Postgres, the sandboxes over HTTP, a real browser for the report
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed  ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

up: $(VENV)/.installed  ## databases, sandboxes where no tenant is set, Dagster UI and daemon; Ctrl-C stops all of it
	@$(BIN)/tieout up

down: $(VENV)/.installed  ## stops what `make demo` left running
	@$(BIN)/tieout down

dictionary: $(VENV)/.installed  ## docs/data-dictionary.md and contracts/schema.json, made from the contracts
	$(BIN)/tieout contracts --write

snapshots: $(VENV)/.installed  ## the SQL that tests pin as text, made anew from the contracts; read the difference before committing it
	TIEOUT_PIN=1 TIEOUT_WRITE_SNAPSHOTS=1 $(BIN)/python -m pytest -q tests/landing/test_typed_sql.py tests/reconciliation/test_sql_text.py

SECONDS ?= 300
SEED ?= 1
ORDERS ?= 10000

soak: $(VENV)/.installed  ## random faults and kills for SECONDS, from SEED on; the last line is one JSON object
	@$(BIN)/python -W ignore -m tests.faults.soak --seconds $(SECONDS) --seed $(SEED)

storm: $(VENV)/.installed  ## ORDERS orders under lost replies, slow commits and a kill every ten seconds
	@$(BIN)/python -W ignore -m tests.faults.storm --orders $(ORDERS)

crash-points: $(VENV)/.installed  ## a kill at every HTTP call and every ledger write of the whole job, before and after it
	@$(BIN)/python -W ignore -m tests.faults.all_crash_points

screenshots: $(VENV)/.installed  ## docs/images: every page of the desk, from a fresh demo
	@$(BIN)/python docs/screenshots.py

# An environment of its own: where Spark is installed, Great Expectations imports it and ends the process. datacompy refuses our pandas.
peers: $(VENV)/.installed  ## .venv-benchmarks: what benchmarks/reconcile.py compares with, and the Spark that the SQL is tested on
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-benchmarks
	@$(BIN)/uv pip install --python .venv-benchmarks/bin/python --quiet --compile-bytecode -e ".[dev,benchmarks]"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-peers
	@$(BIN)/uv pip install --python .venv-peers/bin/python --quiet --compile-bytecode "datacompy>=1.1" "polars<1.45" "pandas<3.1" pyarrow

# What benchmarks/extract.py compares with: each connector pins what the others do not bear. libfaketime gives them the clock of their sandbox.
extract-peers: $(VENV)/.installed  ## .venv-extract-*: tap-salesforce, Airbyte's source-salesforce and dlt, each in an environment of its own
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-extract-tap
	@$(BIN)/uv pip install --python .venv-extract-tap/bin/python --quiet --compile-bytecode "tap-salesforce==2.8.1" "libfaketime==3.0.1"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-extract-airbyte
	@$(BIN)/uv pip install --python .venv-extract-airbyte/bin/python --quiet --compile-bytecode "airbyte-source-salesforce==2.10.3"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-extract-dlt
	@$(BIN)/uv pip install --python .venv-extract-dlt/bin/python --quiet --compile-bytecode "dlt[duckdb]==1.31.0" "simple-salesforce==1.12.10"

spark: peers  ## the generated SQL, translated, on Spark against planted truth; needs Java 17
	.venv-benchmarks/bin/python -m pytest tests/keyed/test_on_spark.py

lock: $(VENV)/.installed
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url --no-annotate --no-header \
		pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .venv-benchmarks .venv-peers .venv-extract-* .tieout .mypy_cache .ruff_cache .pytest_cache *.egg-info

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Tieout needs Python 3.11 to 3.13; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.11")'
	@echo "Installing into $(VENV) (once, about a minute) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(sed -n 's/^\(uv==[^ ;]*\).*/\1/p' requirements.lock)
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps -e .
	@touch $@

# The browser test needs Debian's chromium; where it cannot be installed the test says so in one line and is skipped.
$(VENV)/.browser: $(VENV)/.installed
	@command -v chromium >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 \
		&& echo "Installing chromium for the browser test …" && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| echo "No chromium: the browser test will be skipped. Install it with: sudo apt-get install chromium"
	@touch $@
