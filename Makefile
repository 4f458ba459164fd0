# Every target covers every module of the workspace (go.work).

GO ?= go
FUZZTIME ?= 10s

# Pinned in internal/tools/go.mod; built once, then taken from Go's build cache.
golangci-lint = $$(GOWORK=off $(GO) tool -C internal/tools -n golangci-lint)
modules = $$($(GO) list -m -f '{{.Dir}}/...')

.PHONY: help
help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: ## run all that CI runs: lint, test and more
	.ci/run

.PHONY: test
test: deps ## test every module, with the race detector and in random order
	$(GO) test -race -shuffle=on -timeout 30m work
	$(GO) test ./bench # memory and allocations, which the race detector changes

.PHONY: lint
lint: ## lint every module
	@lint=$(golangci-lint) && $$lint config verify && $$lint run $(modules)

.PHONY: fmt
fmt: ## format every file
	@lint=$(golangci-lint) && $$lint fmt

.PHONY: bench
bench: ## measure against rivals and print the goals, in two minutes
	cd bench && $(GO) run ./goals

.PHONY: scorecard
scorecard: ## measure against published experiments and rewrite docs/scorecard.md
	$(GO) test ./bench/scorecard -update

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (10s, or a count such as 10000x)
	FUZZTIME=$(FUZZTIME) .ci/fuzz

.PHONY: api
api: ## rewrite the golden files of the exported API
	$(GO) test ./internal/api -run TestGolden -update

.PHONY: tidy
tidy: ## tidy every module
	@for mod in $$($(GO) list -m -f '{{.Dir}}') internal/tools; do \
		echo "go mod tidy in $$mod"; GOWORK=off $(GO) -C $$mod mod tidy || exit; done

.PHONY: deps
deps: ## install what the tests need besides Go, or say what is missing
	.ci/deps
