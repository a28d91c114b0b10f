# Latchkey. `make up` runs everything on this machine; `make test` tests it.

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

export LATCHKEY_BIN ?= $(TARGET)/debug/latchkey
export LATCHKEY_WASM ?= $(TARGET)/wasm/latchkey_filter.wasm
export LATCHKEY_ENVOY ?= $(TARGET)/envoy/envoy
export LATCHKEY_PYTHON ?= $(TARGET)/venv/bin/python
export LATCHKEY_OIDC_PROVIDER ?= $(TARGET)/oidc/server.mjs
export LATCHKEY_AXE ?= $(TARGET)/axe/node_modules/axe-core/axe.min.js
export LATCHKEY_MCP_SERVER ?= $(TARGET)/mcp/node_modules/@modelcontextprotocol/server-everything/dist/index.js
export LATCHKEY_AGENTS ?= $(TARGET)/agents

.DEFAULT_GOAL := help
.PHONY: help build filter envoy install up test bench check fmt

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: filter envoy ## Build the control plane and the filter, and fetch Envoy
	cargo build --package latchkey --package latchkey-tests

filter:
	filter/build.sh

envoy:
	envoy/fetch.sh $(TARGET)/envoy

install:
	tests/install.sh

up: build ## Run everything on this machine, with a sample provider, and print a key that works
	@exec $(TARGET)/debug/up

# The whole workspace at once: parts of it would be built with other features, and then again. Tests wait
# more than they compute, so twice as many run as there are processors.
test: install filter envoy check ## Install what the tests need, and run them all
	cargo test --workspace --doc --quiet
	tests/with-postgres.sh cargo nextest run --workspace --no-fail-fast --test-threads $$((2 * $$(nproc)))

bench: export LATCHKEY_BIN = $(TARGET)/release/latchkey
bench: filter envoy ## Measure the gateway against a plain Envoy, and the pages of the portal
	cargo build --release --package latchkey
	tests/with-postgres.sh cargo bench --package latchkey-tests --bench gateway -- $(ARGS)

check: ## Check format, lints, licenses, advisories, and unused dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo deny --log-level error check bans licenses sources
	@if cargo deny --log-level off fetch db >/dev/null 2>&1; then cargo deny --log-level error check advisories; \
	else echo "advisories were not checked: their database cannot be fetched"; fi
	cargo machete

fmt: ## Format the code
	cargo fmt --all
