#!/usr/bin/env bash
# Fuzzes each target for a while, on stable Rust; what it finds new goes to target/fuzz.
#
#   scripts/fuzz.sh                    each for 60 seconds
#   scripts/fuzz.sh 600 packets        this one for ten minutes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(packets topics websocket operations settings passwords stored)

environment=$(scripts/rocksdb.sh)
eval "$environment"
host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz passes, without its nightly sanitizers. With --target, so that build scripts are
# not instrumented.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS=$flags CARGO_TARGET_DIR=target/fuzz \
    cargo build --release --target "$host" --manifest-path tests/fuzz/driver/Cargo.toml
program=target/fuzz/$host/release/flotilla-fuzz-driver

for target in "${targets[@]}"; do
    echo "--- $target, $seconds s" >&2
    found=target/fuzz/corpora/$target
    mkdir -p "$found" target/fuzz/faults
    FLOTILLA_FUZZ=$target "$program" "$found" "tests/fuzz/corpora/$target" \
        -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="target/fuzz/faults/$target-" -print_final_stats=1
done
