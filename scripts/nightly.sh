#!/usr/bin/env bash
# Looks for faults for hours: fuzzes each target for a minute, breaks the broker in every known way,
# looks whether tests still reach 99 % of the core, lets fleets come and go for an hour, then plays
# fresh seeds until the time is over.
#
#   scripts/nightly.sh            8 hours of seeds
#   scripts/nightly.sh 600        ten minutes of seeds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-28800}
from=$(($(date +%s) * 1000))

scripts/fuzz.sh 60
scripts/mutations.py
scripts/coverage.py --at-least 99
scripts/soak.sh
scripts/cargo.sh run --quiet --profile sim -p sim -- \
    --seeds "$from..$((from + 1000000000))" --seconds "$seconds"
