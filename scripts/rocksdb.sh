#!/usr/bin/env bash
# Builds RocksDB as one static archive in the user's cache directory, once a machine.
#
#   eval "$(scripts/rocksdb.sh)"
#
# stdout carries only the lines to evaluate (`export ROCKSDB_STATIC=…`, `export ROCKSDB_LIB_DIR=…`);
# progress goes to stderr. With these variables librocksdb-sys links the archive into every profile;
# without them it compiles some 340 files itself, once for each profile. Whoever calls cargo by hand
# sets them in the shell (or uses scripts/cargo.sh): when they change, cargo builds it anew.
#
# The sources are those of the librocksdb-sys that Cargo.lock names; after `cargo fetch` no network
# is needed. Source list, defines, flags follow its build.rs, with two differences: each compiler run
# takes an eighth of the sources, because most of the time goes into headers; and CRC32C uses the
# instructions for it where this machine has them.
#
# Two runs at once are safe (one waits for the other), and so is a killed run (the archive appears
# whole or not at all).
# Environment: CXX (default g++), AR (default ar), JOBS (compilers at once, default one a core, but no
# more than one for 2 GiB of free memory), ROCKSDB_CXX_STD as librocksdb-sys knows it, XDG_CACHE_HOME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

UNITS=8

say() { echo "rocksdb: $*" >&2; }
die() { say "$*"; exit 1; }

export CXX=${CXX:-g++}
AR=${AR:-ar}
for program in cargo rustc "${CXX%% *}" "$AR" flock sha256sum xargs; do
    command -v "$program" >/dev/null || die "'$program' is not on PATH; 'scripts/setup.sh run' says what to install."
done

# --- Which sources -----------------------------------------------------------------------------

host=$(rustc -vV | sed -n 's/^host: //p')
metadata() { cargo metadata --format-version 1 --offline --filter-platform "$host" ${CI:+--locked}; }
if ! packages=$(metadata 2>/dev/null); then
    say "fetching the crates that Cargo.lock names"
    cargo fetch --target "$host" ${CI:+--locked} >&2 || die "'cargo fetch' failed, see above; it needs the network once."
    packages=$(metadata) || die "'cargo metadata' failed, see above."
fi
locked_version() {
    awk -v name="\"$1\"" '$1 == "name" && $3 == name { getline; gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}
# Where cargo keeps the sources of a package.
source_of() {
    grep -o "\"manifest_path\":\"[^\"]*/$1[^\"/]*/Cargo.toml\"" <<<"$packages" |
        sed -e 's/^"manifest_path":"//' -e 's,/Cargo.toml"$,,' -e 1q
}
rocksdb_version=$(locked_version librocksdb-sys)
lz4_version=$(locked_version lz4-sys)
[ -n "$rocksdb_version" ] || die "Cargo.lock names no librocksdb-sys; is it this repository's?"
source=$(source_of librocksdb-sys)
list=$source/rocksdb_lib_sources.txt
[ -f "$list" ] || die "there is no '$list': librocksdb-sys $rocksdb_version is laid out differently, compare its build.rs with this script."

# --- How they are compiled ---------------------------------------------------------------------

flags=(
    -O2 -g0 -fPIC -ffunction-sections -fdata-sections "-std=${ROCKSDB_CXX_STD:-c++20}" -w -include cstdint
    -DNDEBUG=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION
    -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
    -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
)
includes=(-Irocksdb/include -Irocksdb -Irocksdb/third-party/gtest-1.8.1/fused-src -I.)
if [ -n "$lz4_version" ]; then
    flags+=(-DLZ4=1)
    includes+=("-I$(source_of lz4-sys)/liblz4/lib")
fi
has_instructions() {
    local name
    for name; do grep -qw "$name" /proc/cpuinfo || return 1; done
}
case $host in
    x86_64-*-linux-*) if has_instructions sse4_2 pclmulqdq; then flags+=(-msse4.2 -mpclmul); fi ;;
    aarch64-*-linux-*) if has_instructions crc32 pmull aes; then flags+=(-march=armv8-a+crc+crypto); fi ;;
    *-linux-*) ;;
    *) die "this script knows Linux only, not $host; there a plain 'cargo build' compiles RocksDB." ;;
esac

key=$(printf '%s\n' "$($CXX --version)" "$host" "$UNITS" "lz4-sys $lz4_version" "${flags[@]}" | sha256sum | cut -c 1-12)
cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME}/.cache}/flotilla
directory=$cache/rocksdb-$rocksdb_version-$key
answer() {
    printf 'export ROCKSDB_STATIC=1\nexport ROCKSDB_LIB_DIR=%q\n' "$directory"
    exit 0
}
if [ -f "$directory/librocksdb.a" ]; then answer; fi

# --- Build -------------------------------------------------------------------------------------

mkdir -p "$cache" || die "cannot create '$cache'; set XDG_CACHE_HOME to a directory you may write to."
exec 9>"$cache/rocksdb.lock"
if ! flock --nonblock 9; then
    say "another run is building, waiting for it"
    flock 9
fi
if [ -f "$directory/librocksdb.a" ]; then answer; fi
rm -rf "$cache"/rocksdb-*.building.* # of killed runs: whoever is alive holds the lock

jobs=${JOBS:-$(awk -v cores="$(nproc)" '/^MemAvailable:/ { n = int($2 / 2097152) } END { print n < 1 ? 1 : n < cores ? n : cores }' /proc/meminfo)}
work=$(mktemp -d "$directory.building.XXXXXX")
trap 'rm -rf "$work"' EXIT

# librocksdb-sys brings a build_version.cc of its own.
{
    awk 'NF && $1 != "util/build_version.cc" { print "rocksdb/" $1 }' "$list"
    echo build_version.cc
} >"$work/sources"
split --number="l/$UNITS" --suffix-length=1 --numeric-suffixes "$work/sources" "$work/unit"

# Compiles the sources that file $1 lists as one; the compiler's arguments follow. When they clash
# (two files may have a local name in common), each half is compiled by itself, down to single files.
compile_unit() {
    local unit=$1 count
    shift
    count=$(wc -l <"$unit") || return 1
    sed -e 's/.*/#include "&"/' "$unit" >"$unit.cc"
    if $CXX "$@" -c "$unit.cc" -o "$unit.o" 2>"$unit.log"; then
        echo "rocksdb: ${unit##*/} done ($count files)" >&2
        return
    fi
    if [ "$count" -eq 1 ] || grep -q 'No space left' "$unit.log"; then
        echo "rocksdb: cannot compile $(head -n 1 "$unit"):" >&2
        head -n 30 "$unit.log" >&2
        return 1
    fi
    echo "rocksdb: ${unit##*/} does not compile as one, halving it: $(grep -m 1 -i error "$unit.log")" >&2
    rm -f "$unit.o"
    split --number=r/2 --suffix-length=1 --numeric-suffixes "$unit" "$unit-" || return 1
    compile_unit "$unit-0" "$@" && compile_unit "$unit-1" "$@"
}
export -f compile_unit

say "compiling RocksDB (librocksdb-sys $rocksdb_version) in $UNITS units, $jobs at a time; about 4 minutes on two cores, once a machine"
# The lock stays with this script: compilers that outlive a killed one must not hold it.
(cd "$source" && printf '%s\0' "$work"/unit? |
    xargs -0 -P "$jobs" -I{} bash -c 'compile_unit "$@"' compile_unit {} "${flags[@]}" "${includes[@]}") 9>&- ||
    die "RocksDB did not compile, see above. It needs a C++20 compiler, about 1.5 GiB of memory for each of the $jobs jobs (try JOBS=1), 100 MiB in '$cache'."

"$AR" crs "$work/librocksdb.a" "$work"/unit*.o
rm -f "$work"/unit* "$work/sources"
mv -T "$work" "$directory"
say "built $directory/librocksdb.a ($(du -h "$directory/librocksdb.a" | cut -f 1)) in $SECONDS s"
answer
