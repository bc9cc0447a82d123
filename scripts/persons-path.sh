#!/usr/bin/env bash
# A fleet's path through a crash, with large numbers: three devices publish over mutual TLS, two
# subscribers are away, the broker is killed in the middle, everybody comes back.
#
#   scripts/persons-path.sh [MESSAGES]
#
# MESSAGES (default 100000) are published before, and as many again with the broker killed in
# between; once with QoS 1, once with QoS 2. Ends with 0 when both subscribers have got every
# acknowledged message in order, at QoS 2 exactly once, and prints what it took. The broker is a
# release build; the test is tests/tests/black_box/persons_path.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FLOTILLA_PERSONS_PATH_MESSAGES=${1:-100000}
scripts/cargo.sh build --release -p flotilla -p flotilla-certs
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS
exec scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 persons_path
