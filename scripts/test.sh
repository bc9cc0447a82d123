#!/usr/bin/env bash
# Checks everything: format, lints, all tests. Does all of its own set-up.
#
# Everything is compiled in cargo's dev profile, so that no dependency is compiled for another one.
# With CI set, Cargo.lock must be up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=$(scripts/setup.sh test)
eval "$environment"
environment=$(scripts/rocksdb.sh)
eval "$environment"

locked=()
if [ -n "${CI:-}" ]; then
    locked=(--locked)
    export CARGO_INCREMENTAL=0 # nothing is compiled twice there
fi
# Most black-box tests wait for something, so more of them than there are cores run at once.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
step() {
    echo "--- $* (after $SECONDS s)" >&2
    "$@"
}

step cargo fmt --all --check
step cargo clippy "${locked[@]}" --workspace --all-targets -- -D warnings
# The black-box tests run the programs, and expect them beside their own executable.
step cargo build "${locked[@]}" --workspace --bins
step cargo test "${locked[@]}" --workspace
