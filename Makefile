# Everything here does its own set-up on a Debian-like machine; `make help` lists it.
CARGO ?= cargo
COUNT ?= 1000000
EACH ?= 300
FIRST ?= 0
HISTORIES ?= 1800
SEED ?= 1
PEERS ?= $(CURDIR)/target/peers
export PEERS_DIR := $(PEERS)

.PHONY: help demo test lint fmt doc unit interop namespaces qemu peers deny release deb figures long fuzz mutants bench clean

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | sort | expand -t 12

demo: ## A simulated street cabinet with its own server and page; nothing else needed
	@tests/install rust
	$(CARGO) run --profile demo --locked --package lamplighter -- demo $(ARGS)

test: ## Everything that can be tested on this machine; what CI runs
	@tests/run

lint: ## Formatting, clippy, documentation
	@tests/run lint

unit: ## Tests without foreign software
	@tests/run unit

interop: ## Tests against Leshan, pymodbus and a browser
	@tests/run interop page

namespaces: ## Tests in network namespaces whose networks break; needs root, or sudo
	@tests/run namespaces

qemu: ## The arm64 package on a Debian that QEMU emulates; needs root
	@tests/run qemu

peers: ## Brings the foreign software that `interop` needs into target/peers
	@tests/install rust python java node secured gpsd browser broker managers
	@tests/fetch-peers $(PEERS)

fmt: ## Formats the code
	$(CARGO) fmt --all

doc: ## The documentation of all crates, in target/doc
	$(CARGO) doc --workspace --no-deps --document-private-items

deny: ## Licences, bans and sources, where cargo-deny is installed (a test checks the same without it)
	$(CARGO) deny check licenses bans sources

release: ## The stripped program, in target/release/lamplighter
	@tests/install rust
	agent/daemon/layout/build

deb: ## The Debian packages for amd64 and arm64, in target/deb
	@tests/install rust package cross
	systemd/deb/build amd64
	systemd/deb/build arm64

figures: ## Start-up time, memory and size of the demo site, measured now
	@tests/run figures

long: ## Random histories by the million (COUNT=n, FIRST=n) against the reference model
	SIM_COUNT=$(COUNT) SIM_FIRST=$(FIRST) $(CARGO) test --profile demo --locked --package lamplighter-sim-tests --test histories every_history

fuzz: ## Looks for inputs that do harm: EACH=300 seconds per target, HISTORIES=1800, SEED=n, TARGETS="a b"
	$(CARGO) build --locked --package lamplighter-fuzz
	ulimit -v 4000000 && $(CARGO) run --locked --package lamplighter-fuzz -- run $(EACH) $(HISTORIES) $(SEED) $(TARGETS)

mutants: ## Changes the client core in a thousand small ways, one at a time: do the tests notice?
	@tests/mutants/run $(ARGS)

bench: ## Reads per second and CPU of the bare client against an echo, line use of Modbus; needs two idle cores
	@tests/bench/run $(ARGS)
	@tests/bench/run_modbus

clean: ## Removes everything that was built
	$(CARGO) clean
