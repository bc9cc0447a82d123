#!/usr/bin/env bash
# Fleets come and go for an hour: nothing may grow, and everything must be accounted for.
#
#   scripts/soak.sh [--minutes N]
#
# Three fleets (TLS, TCP with MQTT 3.1.1, WebSockets in TLS) of `flotilla-load mixed-fleet` are on one
# broker for N minutes (default 60), whose log is so small that it is cleaned by age and by bytes all
# the time. Prints a line for each thing that must hold, with its figures: messages lost, duplicated,
# counted otherwise than they were seen; memory; file descriptors; bytes of the log. Ends with 0 when
# all hold. Memory is held to 5 % from 15 minutes on. The broker is a release build; the test is
# tests/tests/black_box/fleet_soak. It takes a fifth of a core and 500 MB of $TMPDIR.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes=60
case "$#:${1:-}" in
0:) ;;
2:--minutes) minutes=$2 ;;
*)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
    ;;
esac

export FLOTILLA_SOAK_SECONDS=$((minutes * 60))
scripts/cargo.sh build --release -p flotilla -p flotilla-certs -p flotilla-loadtest
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS
exec scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 fleet_soak
