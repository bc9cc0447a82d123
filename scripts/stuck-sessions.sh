#!/usr/bin/env bash
# What consumers that never acknowledge cost the broker.
#
#   scripts/stuck-sessions.sh [SESSIONS] [MESSAGES]
#
# SESSIONS (default 1000) subscribe to everything at QoS 1 and never acknowledge, while MESSAGES
# (default 1000000) of 100 B pass to one healthy subscriber; as many pass without them before. Once
# with sessions that stay, of which one comes back and must get everything, once with sessions that
# end with their connection, whose messages are dropped and counted. Prints the memory that each
# took, and ends with 0 when it is bounded. The broker is a release build; the test is
# tests/tests/black_box/stuck_sessions.rs. Needs two file descriptors a session (ulimit -n).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FLOTILLA_STUCK_SESSIONS=${1:-1000}
export FLOTILLA_STUCK_MESSAGES=${2:-1000000}
scripts/cargo.sh build --release -p flotilla -p flotilla-certs
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS
exec scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 stuck_sessions
