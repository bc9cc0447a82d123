#!/usr/bin/env bash
# How long 1,000 devices that come back at once wait for their messages out of a large log.
#
#   scripts/resume-storm.sh [TOPICS [DEVICES]]
#
# Publishes 10 messages of 100 bytes on each of TOPICS topics (default 100000) while everybody is away,
# then connects DEVICES devices (default 1000), each subscribed to one topic. Ends with 0 when the
# last device had its last message within 2 s. The broker is a release build; the test is
# tests/tests/black_box/resume_storm.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FLOTILLA_RESUME_TOPICS=${1:-100000} FLOTILLA_RESUME_DEVICES=${2:-1000}
scripts/cargo.sh build --release -p flotilla -p flotilla-certs
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS
exec scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 resume_storm
