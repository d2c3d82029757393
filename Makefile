# The usual commands work without this file: go build work, go test work, go vet work.
# make adds the race detector, the table of backends, the pinned linter and the rest of
# the gate. `make help` lists what there is.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MODULES := $(shell go list -m -f '{{.Dir}}')

# The race detector needs cgo and a C compiler. RACE= switches it off.
RACE ?= $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$$(go env CC)" >/dev/null && echo -race)

# Extra flags for make test, as in: make test TESTFLAGS='-short -run Claim'
TESTFLAGS ?=

# What make bench runs, as in: make bench BENCH=Claim
BENCH ?= .

# How often make chaos kills.
KILLS ?= 50

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

.PHONY: all
all: test lint ## test and lint

.PHONY: test
test: ## vet and test every module; ONCE_REQUIRE=all fails if a backend is missing
	go vet work
	@[ -n "$(RACE)" ] || echo "make: no C compiler, so no race detector (apt-get install -y gcc libc6-dev enables it)"
	@report=$$(mktemp); trap 'rm -f "$$report"' EXIT; status=0; \
	echo go test $(RACE) -shuffle=on $(TESTFLAGS) work; \
	ONCE_SERVICES_REPORT="$$report" go test $(RACE) -shuffle=on $(TESTFLAGS) work || status=$$?; \
	internal/testservices/table.sh "$$report"; \
	exit $$status

.PHONY: build
build: ## compile every package and command of every module
	go build work

.PHONY: lint
lint: .bin/golangci-lint ## check the style of every module
	.bin/golangci-lint run $(addsuffix /...,$(MODULES))

# The linter is compiled from the version in internal/tools/go.mod, outside the workspace so that
# its requirements cannot raise ours.
.bin/golangci-lint: internal/tools/go.mod internal/tools/go.sum
	@echo "building the linter; the first time takes a few minutes"
	GOWORK=off go -C internal/tools build -o ../../.bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: bench
bench: ## run the benchmarks, as in: make bench BENCH=Claim
	go test -run '^$$' -bench '$(BENCH)' -benchmem work

.PHONY: smoke
smoke: ## run each benchmark once, to see that it works
	go test -run '^$$' -bench . -benchtime 1x work

.PHONY: demo
demo: ## run the monitor while things are made to fail; ends with PASS or FAIL
	go run ./monitoring/cmd/monitor demo

.PHONY: chaos
chaos: ## kill replicas of the monitor at random moments, 50 times: make chaos KILLS=200
	go run ./monitoring/cmd/monitor chaos --kills $(KILLS)

.PHONY: tidy
tidy: ## check that go.mod and go.sum of every module are tidy (go mod tidy in that folder mends it)
	@status=0; for dir in $(MODULES) $(CURDIR)/internal/tools; do \
		echo "go mod tidy -diff  # $$dir"; (cd "$$dir" && GOWORK=off go mod tidy -diff) || status=1; \
	done; exit $$status

.PHONY: consumer
consumer: ## check what a program gets that imports every package of the root module
	internal/tools/consumer.sh

.PHONY: rename
rename: ## give the project its own module path: make rename MODULE=example.org/me/once
	internal/tools/rename.sh "$(MODULE)"

.PHONY: clean
clean: ## remove what make built
	rm -rf .bin
