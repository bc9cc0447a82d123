#!/usr/bin/env bash
# Kills the broker again and again under everything at once, and checks what the clients saw.
#
#   scripts/crash-rounds.sh [ROUNDS] [SEED]
#
# ROUNDS (default 200) are played once with [store] sync = "always", once with "never". Publishers,
# persistent subscribers, retained messages, subscriptions that change, takeovers; SIGKILL at random
# moments, during start-up too, now and then SIGTERM. SEED (default: any) makes the same dice again,
# which is not the same timing. Prints a summary, and ends with 0 when the checker found nothing.
# The broker is a release build; the test is tests/tests/black_box/crash_rounds.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FLOTILLA_CRASH_ROUNDS=${1:-200}
export FLOTILLA_CRASH_SEED=${2:-$RANDOM$RANDOM}
scripts/cargo.sh build --release -p flotilla -p flotilla-certs
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS
exec scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 crash_rounds
