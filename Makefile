# The targets of development and CI; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET   := x86_64-unknown-linux-musl
CACHE    ?= $(or $(PGLOOM_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pgloom)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
PLUGINS  := $(sort $(filter-out kit examples README.md,$(notdir $(wildcard plugins/*))))
CLUSTER  := tests/cluster/cluster
export PGLOOM_CACHE := $(CACHE)

##@ General
.PHONY: help
help: ## Show this text
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install missing programs
	@hack/setup

##@ Build
.PHONY: build
build: setup plugins ## dist/pgloom and dist/plugins/NAME.wasm
	@cargo build --release --package pgloom
	@mkdir -p dist && cp --remove-destination $(TARGET_DIR)/$(TARGET)/release/pgloom dist/pgloom

.PHONY: plugins
plugins: setup ## dist/plugins/NAME.wasm
	@cargo build --profile plugin --target wasm32-unknown-unknown $(foreach plugin,$(PLUGINS),--package plugin-$(plugin))
	@cargo xtask components $(TARGET_DIR)/wasm32-unknown-unknown/plugin dist/plugins
	@cp manifests/pipeline.yaml dist/plugins/pipeline.yaml

.PHONY: guests
guests: setup ## dist/guests: faulty plugins, for the conformance tests
	@cargo build --profile plugin --target wasm32-unknown-unknown --package conformance-guests --examples
	@cargo xtask components $(TARGET_DIR)/wasm32-unknown-unknown/plugin/examples dist/guests

.PHONY: image
image: build ## dist/pgloom.tar: the operator's image
	@hack/image

##@ Try
.PHONY: run
run: build ## A local cluster, the operator and a database; KUBECONFIG=… uses your cluster
	@hack/run

.PHONY: cluster-up
cluster-up: ## Bring up the local cluster
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## Take the local cluster down
	@$(CLUSTER) down

##@ Check
.PHONY: check
check: fmt clippy deny unused generated ## Formatting, lints, licences, unused dependencies, generated files

.PHONY: fmt
fmt: setup
	@cargo fmt --all --check

.PHONY: clippy
clippy: setup
	@cargo clippy --release --workspace --all-targets -- -D warnings

.PHONY: deny
deny: setup
	@hack/deny

.PHONY: unused
unused: setup
	@hack/cargo-tool machete 0.9.2 --with-metadata

.PHONY: generated
generated: setup ## Generated files are up to date
	@cargo test --release --package pgloom-api --test generated

.PHONY: test
test: setup ## Everything, step by step: checks, build, unit, golden, conformance, merge, end to end
	@hack/test

.PHONY: crash-points
crash-points: build ## The operator killed or refused at every write of every operation; make test tries a sample
	@CRASH_POINTS=all cargo test --release --package crash

.PHONY: bench
bench: build guests ## Measurements: decisions, sizes, start-up, memory
	@hack/bench

.PHONY: clean
clean: ## Remove what was built in the checkout; the cache stays
	@rm -rf dist && cargo clean
