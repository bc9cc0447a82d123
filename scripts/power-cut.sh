#!/usr/bin/env bash
# Cuts the power under the broker again and again, and checks what the clients saw.
#
#   scripts/power-cut.sh [ROUNDS] [SEED]
#
# The data directory is on an ext4 image that is shut down hard (EXT4_IOC_SHUTDOWN without flushing its
# journal), unmounted and mounted again. ROUNDS (default 20) are played with [store] sync = "always",
# where nothing acknowledged may be lost, with "200ms" and with "never", where a prefix must be left.
# Needs root, loop devices, mkfs.ext4, and Perl or Python; says SKIPPED and why where these are
# missing. SEED (default: any) makes the same dice again, which is not the same timing. The broker is
# a release build; the test is tests/tests/black_box/power_cut.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FLOTILLA_POWER_CUTS=${1:-20}
export FLOTILLA_POWER_CUT_SEED=${2:-$RANDOM$RANDOM}
scripts/cargo.sh build --release -p flotilla -p flotilla-certs
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS
exec scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 power_cut
