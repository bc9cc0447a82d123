#!/usr/bin/env bash
# Takes the broker's disk its last byte again and again, and checks what the clients saw.
#
#   scripts/disk-full.sh [ROUNDS] [SEED]
#
# The data directory is on an ext4 image of its own. First publishers fill it: they are refused with
# 0x97, consumers go on, /health says so, and all is well when there is room again. Then, for ROUNDS
# (default 20), a file of no use takes what is left under everything at once; now and then the broker
# is killed meanwhile. Nothing acknowledged may be lost. Needs root, loop devices and mkfs.ext4; says
# SKIPPED and why where these are missing. SEED (default: any) makes the same dice again, which is not
# the same timing. The broker is a release build; the test is tests/tests/black_box/disk_full.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FLOTILLA_FULL_DISKS=${1:-20}
export FLOTILLA_FULL_SEED=${2:-$RANDOM$RANDOM}
scripts/cargo.sh build --release -p flotilla -p flotilla-certs
FLOTILLA_TEST_PROGRAMS=${CARGO_TARGET_DIR:-$PWD/target}/release
export FLOTILLA_TEST_PROGRAMS
exec scripts/cargo.sh test -p flotilla-tests --test black_box -- --nocapture --test-threads 1 disk_full
