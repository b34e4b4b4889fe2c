# Every target with a "## sentence" explains itself: `make` prints them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# One after the other, also under make -j: tests and benchmarks share the machine's few cores already.
.NOTPARALLEL:

# The product is pure Go; only the race detector needs a C compiler.
export CGO_ENABLED := 0
# The toolchain that is installed builds this, none is downloaded.
export GOTOOLCHAIN := local

# Passed on by run and bench: make run ARGS='--listen 127.0.0.1:9000'
ARGS ?=
# Which tests `make stall` runs, and how often a thread stands still: make stall PACKAGE=./shard EVERY=40
PACKAGE ?= ./shard
EVERY ?= 200
# How long each fuzz target runs in `make check`; for a real search: make fuzz FUZZTIME=10m
FUZZTIME ?= 1s
# A test that takes longer hangs.
TEST_TIMEOUT ?= 20m
# The linter, and formatter; built with the toolchain that is installed, in about 80 seconds.
GOLANGCI_VERSION := v2.15.0
GOLANGCI := bin/golangci-lint-$(GOLANGCI_VERSION)

.PHONY: help
help: ## list the targets
	@echo 'meterd: a durable metering and licence daemon for IoT device gateways'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Options: ARGS='…' for run and bench; FUZZTIME=$(FUZZTIME) for fuzz; PACKAGE=$(PACKAGE) EVERY=$(EVERY) for stall"

## ---- to use it

.PHONY: build
build: ## build bin/meterd and bin/mqtt-gateway
	go build -trimpath -o bin/ ./cmd/...

.PHONY: run
run: build ## start the daemon with a week of a demo's history, made once; its devices go on
	bin/meterd serve --demo $(ARGS)

.PHONY: mqtt-demo
mqtt-demo: build ## let stock MQTT clients through the gateway until their quota is used up
	@.ci/need mosquitto_pub:mosquitto-clients curl:curl
	@cmd/mqtt-gateway/demo.sh

.PHONY: observe
observe: build ## start meterd's demo and a Prometheus that watches it, with the alert rules
	@.ci/need prometheus:prometheus curl:curl
	@cmd/meterd/observe.sh

.PHONY: cluster
cluster: build ## start three nodes of a cluster on this machine, and gateways that notice when one is killed
	@.ci/need curl:curl
	@go build -trimpath -o bin/demo-load ./cmd/demo-load
	@cmd/meterd/cluster.sh

.PHONY: nginx
nginx: ## install nginx, and let it ask a real meterd as docs/integrations describes
	@.ci/need nginx:nginx
	go test -count=1 -run '^TestNginx' ./cmd/meterd

## ---- to change it

.PHONY: tools
tools: console/web/node_modules ## install what the tests need: MQTT clients, FUSE, protoc, promtool, nginx, a browser, …
	@.ci/need mosquitto_pub:mosquitto-clients fusermount3:fuse3 protoc:protobuf-compiler promtool:prometheus \
		nginx:nginx curl:curl python3:python3 node:nodejs cc:gcc cc:libc6-dev \
		chromium-headless-shell:chromium-headless-shell

.PHONY: test
test: tools ## run all tests
	go test -timeout $(TEST_TIMEOUT) ./...
	METERD_TEST_LOG=stream go test -timeout $(TEST_TIMEOUT) -count=1 -short ./shard

.PHONY: check
check: format lint house web-check test race fuzz bench-smoke ## run everything that CI runs
	@echo 'check: all passed'

.PHONY: format
format: $(GOLANGCI) ## fail on files that make fmt would change
	@$(GOLANGCI) fmt --diff || { echo "not formatted, run make fmt"; exit 1; }

.PHONY: fmt
fmt: $(GOLANGCI) ## format all Go files: gofumpt, lines of 120 columns
	$(GOLANGCI) fmt

.PHONY: lint
lint: $(GOLANGCI) ## run golangci-lint: import arrows, doors, errors, state, shape (.golangci.yml)
	$(GOLANGCI) run

# Under a name with its version: another version is another file, and is built once.
$(GOLANGCI):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv bin/golangci-lint $@

.PHONY: house
house: ## check the house rules that no linter knows: texts, links, names, fuzz targets
	go test -count=1 .

# With -short: what starts the real binary, or takes long, was run by `make test` and would learn nothing from it.
.PHONY: race
race: tools ## run the tests with the race detector
	@.ci/need gcc:gcc gcc:libc6-dev
	CGO_ENABLED=1 go test -race -short -timeout $(TEST_TIMEOUT) ./...

.PHONY: web
web: console/web/node_modules ## build the console's pages, console/web/dist, from console/web/src
	cd console/web && node build.mjs

# What is committed must be what the sources give, byte for byte: the daemon is built without Node.
.PHONY: web-check
web-check: console/web/node_modules ## check the types of the console, and that console/web/dist is what its sources give
	cd console/web && node_modules/.bin/tsc --noEmit
	@there=$$(mktemp -d); trap 'rm -rf "$$there"' EXIT; \
	node console/web/build.mjs "$$there" && diff -rq "$$there" console/web/dist || \
	{ echo "console/web/dist is not what its sources give, run make web"; exit 1; }

console/web/node_modules: console/web/package-lock.json
	@.ci/need node:nodejs npm:npm
	cd console/web && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: screenshots
screenshots: tools ## take the README's pictures of the console, of a demo, into docs
	@fc-list :lang=zh 2>/dev/null | grep -q . || .ci/need no-chinese-font:fonts-wqy-microhei fc-list:fontconfig
	METERD_SCREENSHOTS=$(CURDIR)/docs go test -count=1 -run '^TestScreenshots$$' ./cmd/meterd

.PHONY: redoc
redoc: ## take the script of /docs from its published package, as docs/redoc/LOCK has it
	@.ci/need npm:npm openssl:openssl
	@docs/redoc/fetch.sh

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

.PHONY: stall
stall: ## run the tests of PACKAGE on threads that stand still at random; finds what relies on an order
	.ci/stall $(EVERY) $(PACKAGE) -short

.PHONY: bench-smoke
bench-smoke: ## run every benchmark once, to see that it runs
	go test -run '^$$' -bench . -benchtime 1x -short -timeout $(TEST_TIMEOUT) ./...

.PHONY: bench
bench: build ## measure the daemon end to end in 5 minutes; ARGS=--full: everything, in 50
	bin/meterd bench $(ARGS)

.PHONY: bench-peers
bench-peers: ## install the yardsticks, Redis and VictoriaMetrics, and measure beside them
	@.ci/need redis-server:redis-server victoria-metrics:victoria-metrics
	@$(MAKE) bench ARGS='$(ARGS)'

.PHONY: clean
clean: ## remove what was built; data directories stay
	rm -rf bin
