# The front door. What it takes to get tools onto a machine is shell, in deploy/local;
# everything else is the `shop` program.
CARGO = cargo
SHOP  = target/debug/shop

.PHONY: help docs up down order status books drill drills smoke planted test test-jaeger test-alerts test-clients test-upgrade lint fmt verify bench tools build

help: ## What there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

up: build ## Open the shop in the background, order a coffee, show where everything is
	@$(SHOP) up --detach --quiet
	@$(SHOP) order
	@$(SHOP) status

down: ## Close the shop; its data stay
	@test ! -x $(SHOP) || $(SHOP) down

order: build ## Order a latte and watch it
	@$(SHOP) order

status: build ## What runs where
	@$(SHOP) status

books: build ## Check every order against drinks and charges
	@$(SHOP) books

drill: build ## Break a shop of its own, and let the books judge: NAME=broker-stop
	@$(SHOP) drill $(if $(NAME),run $(NAME),list)

drills: build ## All drills, one after the other, and a page about them; the long run: SEEDS=20
	@$(SHOP) drill all --seeds $(or $(SEEDS),1)

smoke: build ## The few drills that CI runs
	@$(SHOP) drill smoke --seconds 8 --rate 8

planted: tools ## Take each guard out of the shop, and see that the drills notice
	@CARGO_BUILD_BUILD_DIR=target $(CARGO) build --locked --workspace --bins --features planted --target-dir target/planted
	@target/planted/debug/shop drill planted

test: build ## All tests, against a real Kafka and Postgres of their own
	@$(CARGO) test --locked --workspace --no-fail-fast

test-jaeger: build ## Traces as a real Jaeger shows them; the first time it is built, in five minutes
	@jaeger=$$(deploy/jaeger/build.sh) && JAEGER=$$jaeger $(CARGO) test --locked --test shop jaeger:: -- --ignored --nocapture

test-alerts: build ## Every dashboard query and alert on a real Prometheus; the first time it is built, in ten minutes
	@deploy/prometheus/build.sh && $(CARGO) test --locked --test shop alerts -- --ignored --nocapture

test-clients: build ## The clients in Python, TypeScript, Go and Java against a shop; fetches their packages
	@$(CARGO) test --locked --test shop clients:: -- --ignored --nocapture

test-upgrade: build ## The version before, built and rolled to this one under load, back, and forward again
	@previous=$$(deploy/local/previous.sh) && PREVIOUS=$$previous $(CARGO) test --locked --test shop upgrade:: -- --ignored --nocapture

docs: ## Write docs/api.md anew, from the comments in proto/
	@$(CARGO) test --locked --quiet --test shop contract::renew -- --ignored

lint: tools ## Format, clippy, docs; contracts, licenses, alerts and containers where buf, cargo-deny, promtool and docker compose are
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet
	@deploy/local/optional.sh buf lint
	@deploy/local/breaking.sh
	@deploy/local/migrations.sh
	@deploy/local/optional.sh cargo-deny --offline check licenses bans sources
	@deploy/local/optional.sh promtool check rules deploy/alerts/coffeeshop.rules.yml
	@deploy/local/optional.sh promtool test rules deploy/alerts/coffeeshop.test.yml
	@deploy/compose/check.sh

verify: lint test ## What CI runs

bench: tools ## Orders and messages a second, what they and their traces cost; with many orders: STORED=5000000
	@$(CARGO) build --locked --release --workspace
	@deploy/local/bench.sh

build: tools
	@$(CARGO) build --locked --workspace --bins

tools:
	@deploy/local/bootstrap.sh
