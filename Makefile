# `make` alone lists the targets. Needs GNU make 4.3, bash and Go; GOFLAGS and the rest of the
# environment reach every go command unchanged.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Modules whose tests belong to this repository's tests. tools/ only pins programs.
MODULES := . $(patsubst %/go.mod,%,$(wildcard interop/go.mod bench/go.mod))
TOOL := go tool -modfile=tools/go.mod

FUZZTIME ?= 30s
BENCH ?= .
COUNT ?= 1
# One package that hangs must not use up the time of all the others.
TESTTIMEOUT ?= 10m

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## Compile every package of every module
	@$(foreach m,$(MODULES),(set -x; cd $(m) && go build ./...);)

# Once set-up has brought every foreign program, an interop test that skips is a failure. Vetting
# compiles most of what the tests need, while set-up waits for packages.
.PHONY: test
test: ## Set up (may install Debian packages), vet, run every test with race detector and brokers, list what did not run
	@$(MAKE) vet & vet=$$!; rc=0; (set -x; test/setup) || rc=$$?; wait $$vet; \
	case $$rc in 0) export POLYPORT_REQUIRE_INTEROP=1 ;; 3) ;; *) exit $$rc ;; esac; \
	set -x; POLYPORT_NO_INSTALL=1 test/with-brokers go run ./test/suite -race -timeout=$(TESTTIMEOUT) -- $(MODULES)

.PHONY: vet
vet: ## Run go vet on every module
	@$(foreach m,$(MODULES),(set -x; cd $(m) && go vet ./...);)

.PHONY: short
short: ## Run the library's tests without set-up and race detector
	go test ./...

.PHONY: race
race: ## Run the library's tests in random order with the race detector, COUNT times
	go test -race -shuffle=on -count=$(COUNT) ./...

# go test fuzzes one target at a time.
.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME (30s)
	@go test -list '^Fuzz' ./... \
	| awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }' \
	| while read -r pkg name; do \
		(set -x; go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) "$$pkg" </dev/null); \
	done

.PHONY: bench
bench: ## Compare with other RPC libraries in one run (3 min); renews docs/bench.md
	cd bench && go run . -doc ../docs/bench.md

.PHONY: bench-brokers
bench-brokers: ## Compare with go-stomp alone through RabbitMQ and ActiveMQ (5 min); renews docs/bench.md
	test/with-brokers go -C bench run . -brokers -time 1s -doc ../docs/bench.md

.PHONY: bench-zmq
bench-zmq: ## Compare the bare ZeroMQ wire with libzmq, in C (3 min); renews docs/bench.md
	cd bench && go run . -zmq -time 1s -doc ../docs/bench.md

.PHONY: bench-legacy
bench-legacy: ## Compare JSON-RPC with XML-RPC, in size, time and calls a second (2 min); renews docs/bench.md
	cd bench && go run . -legacy -time 1s -doc ../docs/bench.md

.PHONY: bench-hub
bench-hub: ## Compare the broker with go-stomp's server, NATS and RabbitMQ (5 min); renews docs/bench.md
	test/with-brokers go -C bench run . -hub -time 1s -doc ../docs/bench.md

.PHONY: microbench
microbench: ## Run the Go benchmarks that match BENCH (.), COUNT times
	go test -run='^$$' -bench='$(BENCH)' -benchmem -count=$(COUNT) ./...

.PHONY: cover
cover: ## Measure how much of the library its own tests reach; leaves cover.out
	go test -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -func=cover.out | tail -n 1

.PHONY: lint
lint: ## Check format and run the linters (builds golangci-lint once: minutes)
	@unformatted=$$(set -x; gofmt -l . && $(TOOL) gofumpt -l .); \
	if [[ -n $$unformatted ]]; then printf 'not formatted:\n%s\n' "$$unformatted" >&2; exit 1; fi
	@$(foreach m,$(MODULES),(set -x; cd $(m) && go vet ./... && go fix -diff ./...);)
	@$(foreach m,$(MODULES),(set -x; cd $(m) && go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint run ./...);)

.PHONY: docs
docs: ## Run the documentation's examples and check the links between its files
	go test -count=1 ./test/docs
	go test -count=1 -run='^Example' ./...

.PHONY: tidy-check
tidy-check: ## Fail if a go.mod or go.sum is not tidy
	@$(foreach m,$(MODULES) tools,(set -x; cd $(m) && go mod tidy -diff);)

.PHONY: clean
clean: ## Remove what the targets above leave behind
	rm -f cover.out
	find . -name '*.test' -type f -not -path './.git/*' -delete
