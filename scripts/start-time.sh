#!/usr/bin/env bash
# How long the broker takes to open its listeners with a large backlog, and with many sessions.
#
#   scripts/start-time.sh [MESSAGES [PAYLOAD]]
#
# Backlog: publishes MESSAGES (default 10000000) of PAYLOAD bytes (default 1000) for a subscriber that
# is away, kills the broker, starts it, ends it, starts it again; the subscriber then gets the first
# million. Sessions: writes a store with 1,000,000 sessions of one subscription each, starts the
# broker on it, kills it, starts it again, and shows what /health said meanwhile. Ends with 0 when the
# listeners were open within 2 s and 10 s. Needs about twice the bytes of the backlog on the disk of
# TMPDIR. The broker is a release build; the test of the backlog is tests/tests/black_box/start_time.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FLOTILLA_START_TIME_MESSAGES=${1:-10000000} FLOTILLA_START_TIME_PAYLOAD=${2:-1000}
scripts/cargo.sh build --release -p flotilla -p flotilla-certs
scripts/cargo.sh build --release -p flotilla-store --example measure
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS

work=$(mktemp -d)
broker=
finish() {
    if [ -n "$broker" ]; then kill -KILL "$broker" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT

"$FLOTILLA_TEST_PROGRAMS/examples/measure" sessions "$work/data/store"
# Without an end, so that none of them expires.
printf '[node]\ndata = "%s/data"\n[[listener]]\nbind = "tcp://127.0.0.1:0"\n[ops]\nbind = "http://127.0.0.1:0"\n' \
    "$work" >"$work/flotilla.toml"
for start in "after an end" "after SIGKILL"; do
    log="$work/log"
    "$FLOTILLA_TEST_PROGRAMS/flotilla" --config "$work/flotilla.toml" 2>"$log" &
    broker=$!
    until grep -q 'ready after' "$log"; do
        kill -0 "$broker" || { cat "$log"; exit 1; }
        address=$(sed -n 's/.*operations on \(http:[^ ]*\).*/\1/p' "$log")
        if [ -n "$address" ] && health=$(curl -s --max-time 1 "$address/health"); then echo "  $health"; fi
        sleep 0.5 # between two looks, while the deadline below counts
    done
    ready_ms=$(sed -n 's/.*ready after \([0-9]*\) ms.*/\1/p' "$log")
    grep -o '[0-9]* sessions and .* recovered' "$log"
    memory=$(awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$broker/status")
    echo "1,000,000 sessions, $start: ready after $ready_ms ms, $memory MiB"
    [ "$ready_ms" -lt 10000 ] || { echo "that is more than 10 s" >&2; exit 1; }
    kill -KILL "$broker"
    wait "$broker" 2>/dev/null || true
    broker=
done
rm -rf "$work/data"

scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 start_time
