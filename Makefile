# make run   starts the broker     make run ARGS="--config flotilla.toml"
# make test  checks everything
#
# Both do all of their own set-up; the logic is in scripts/.

.PHONY: run test build clippy fmt clean

run:
	@scripts/cargo.sh run --release -p flotilla -- $(ARGS)

test:
	@scripts/test.sh

build:
	@scripts/cargo.sh build --release --workspace

clippy:
	@scripts/cargo.sh clippy --workspace --all-targets -- -D warnings

fmt:
	@cargo fmt --all

clean:
	@cargo clean
