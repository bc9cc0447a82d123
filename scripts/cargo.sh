#!/usr/bin/env bash
# Runs cargo with RocksDB from the archive that scripts/rocksdb.sh builds once a machine.
#
#   scripts/cargo.sh test -p flotilla-store
set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")

"$scripts/setup.sh" run
environment=$("$scripts/rocksdb.sh")
eval "$environment"
exec cargo "$@"
