#!/usr/bin/env bash
# How long the broker takes to open its listeners with many messages in its log.
#
#   scripts/start-time.sh [MESSAGES]
#
# Fills the log with MESSAGES (default 1000000) for a subscriber that is away, kills the broker,
# starts it, ends it, starts it again. Prints the times, and ends with 0 when each start took less
# than two seconds and the subscriber got everything. The broker is a release build; the test is
# tests/tests/black_box/start_time.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FLOTILLA_START_TIME_MESSAGES=${1:-1000000}
scripts/cargo.sh build --release -p flotilla -p flotilla-certs
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS
exec scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 start_time
