#!/usr/bin/env bash
# Builds RocksDB as one static archive in the user's cache directory, once a machine.
#
#   eval "$(scripts/rocksdb.sh)"
#
# stdout carries only the lines to evaluate (`export ROCKSDB_STATIC=…`, `export ROCKSDB_LIB_DIR=…`);
# progress goes to stderr. With these variables set, librocksdb-sys links the archive into every
# profile; without them it compiles some 340 files once for each profile. Set them in the shell in
# which you call cargo yourself, else cargo sees a changed environment and builds RocksDB again.
#
# The sources are those of the librocksdb-sys that Cargo.lock names; after `cargo fetch` no network
# is needed. Defines, flags and source list follow its build.rs, with two differences: each compiler
# run takes an eighth of the sources (most of the time goes into headers), and CRC32C uses the
# processor's instructions where this machine has them.
#
# Environment: CXX (default g++), AR (default ar), JOBS (compilers at once, default: one a core, but
# one for each 2 GiB of memory), XDG_CACHE_HOME.
# Two runs at once are safe (one waits for the other), and so is a killed run (the archive appears
# complete or not at all).
set -euo pipefail

readonly UNITS=8
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "rocksdb: $*" >&2; }
die() { say "$*"; exit 1; }

CXX=${CXX:-g++}
AR=${AR:-ar}
for program in cargo rustc "$CXX" "$AR" flock sha256sum xargs; do
    command -v "$program" >/dev/null || die "'$program' is not on PATH; scripts/setup.sh run says what to install."
done

# --- Which sources -----------------------------------------------------------------------------

locked_version() {
    awk -v name="\"$1\"" '$1 == "name" && $3 == name { getline; gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}
rocksdb_version=$(locked_version librocksdb-sys)
[ -n "$rocksdb_version" ] || die "Cargo.lock names no librocksdb-sys; run 'cargo generate-lockfile'."
lz4_version=$(locked_version lz4-sys)

host=$(rustc -vV | sed -n 's/^host: //p')
metadata() { cargo metadata --format-version 1 --offline --filter-platform "$host"; }
if ! packages=$(metadata 2>/dev/null); then
    say "fetching the crates that Cargo.lock names"
    cargo fetch --target "$host" >&2 || die "'cargo fetch' failed; it needs the network once, or a filled ~/.cargo."
    packages=$(metadata) || die "'cargo metadata' failed, see above."
fi
# Where cargo keeps the sources of a package.
source_of() {
    grep -o "\"manifest_path\":\"[^\"]*/$1[^\"/]*/Cargo.toml\"" <<<"$packages" |
        sed -e 's/^"manifest_path":"//' -e 's,/Cargo.toml"$,,' | head -n 1
}
source=$(source_of librocksdb-sys)
[ -f "$source/rocksdb_lib_sources.txt" ] || die "no rocksdb_lib_sources.txt in '$source': librocksdb-sys $rocksdb_version is laid out differently, look at its build.rs."

# --- How it is compiled ------------------------------------------------------------------------

flags=(
    -O2 -g0 -fPIC -ffunction-sections -fdata-sections "${ROCKSDB_CXX_STD:--std=c++20}" -w
    -include cstdint
    -DNDEBUG=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION
    -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
    -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
)
includes=(-Irocksdb/include -Irocksdb -Irocksdb/third-party/gtest-1.8.1/fused-src -I.)
if [ -n "$lz4_version" ]; then
    flags+=(-DLZ4=1)
    includes+=("-I$(source_of lz4-sys)/liblz4/lib")
fi
case $host in
    x86_64-*-linux-*)
        # Without these CRC32C is computed byte by byte from tables.
        grep -qw sse4_2 /proc/cpuinfo && grep -qw pclmulqdq /proc/cpuinfo && flags+=(-msse4.2 -mpclmul) ;;
    aarch64-*-linux-*)
        grep -qw crc32 /proc/cpuinfo && grep -qw pmull /proc/cpuinfo && flags+=(-march=armv8-a+crc+crypto) ;;
    *-linux-*) ;;
    *) die "only Linux is supported by this script, not $host; a plain 'cargo build' lets librocksdb-sys compile RocksDB itself." ;;
esac

key=$(printf '%s\n' "$($CXX --version | head -n 1)" "$host" "$UNITS" "lz4-sys $lz4_version" "${flags[@]}" | sha256sum | cut -c 1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/flotilla
directory=$cache/rocksdb-$rocksdb_version-$key
archive=$directory/librocksdb.a

answer() {
    printf 'export ROCKSDB_STATIC=1\nexport ROCKSDB_LIB_DIR=%q\n' "$directory"
    exit 0
}
[ -f "$archive" ] && answer

# --- Build -------------------------------------------------------------------------------------

mkdir -p "$cache" || die "cannot create '$cache'; set XDG_CACHE_HOME to a directory you may write to."
exec 9>"$cache/rocksdb.lock"
if ! flock --nonblock 9; then
    say "another run is building, waiting for it"
    flock 9
fi
[ -f "$archive" ] && answer
rm -rf "$cache"/rocksdb-*.building.* # left by a run that was killed; whoever lives holds the lock

cores=$(nproc)
memory_jobs=$(awk '/^MemAvailable:/ { print int($2 / 2097152) }' /proc/meminfo)
jobs=${JOBS:-$((cores < memory_jobs ? cores : memory_jobs))}
[ "$jobs" -ge 1 ] || jobs=1

work=$(mktemp -d "$directory.building.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

grep -v -e '^[[:space:]]*$' -e '^util/build_version\.cc$' "$source/rocksdb_lib_sources.txt" |
    sed -e 's,^[[:space:]]*,rocksdb/,' >"$work/sources"
echo build_version.cc >>"$work/sources" # librocksdb-sys brings its own
split --number="l/$UNITS" --suffix-length=2 --numeric-suffixes "$work/sources" "$work/unit"

# Compiles the sources listed in file $1 as one. When they clash (two files may each have a local
# name of the same spelling), each half is compiled by itself, down to single files.
compile_unit() {
    local list=$1 count
    count=$(wc -l <"$list")
    sed -e 's/.*/#include "&"/' "$list" >"$list.cc"
    if $CXX "${compile[@]}" -c "$list.cc" -o "$list.o" 2>"$list.log" 9>&-; then
        echo "rocksdb: ${list##*/} of $count files done after $(($(date +%s) - epoch)) s" >&2
    elif [ "$count" -eq 1 ] || [ ! -d "${list%/*}" ]; then
        echo "rocksdb: cannot compile $(cat "$list"):" >&2
        head -n 40 "$list.log" >&2
        return 1
    else
        echo "rocksdb: ${list##*/} of $count files does not compile as one, splitting it: $(grep -m 1 error "$list.log")" >&2
        rm -f "$list.o"
        split --number=l/2 --suffix-length=1 --numeric-suffixes "$list" "$list-"
        compile_unit "$list-0" && compile_unit "$list-1"
    fi
}
export -f compile_unit
export CXX

say "compiling RocksDB ($rocksdb_version), $(wc -l <"$work/sources") files in $UNITS units, $jobs at a time; about 4 minutes on two cores, once on this machine"
started=$SECONDS epoch=$(date +%s)
declare -a compile=("${flags[@]}" "${includes[@]}")
# An array cannot be exported: its declaration travels as text.
declaration=$(declare -p compile)
(
    cd "$source"
    export declaration epoch
    find "$work" -name 'unit[0-9][0-9]' | sort |
        xargs -P "$jobs" -n 1 bash -c 'eval "$declaration"; compile_unit "$1"' compile_unit
) 9>&- || die "RocksDB did not compile, see above. Needed: a C++20 compiler, about 1.5 GiB of memory for each of $jobs jobs (JOBS=1 needs the least), 200 MiB in '$cache'."

$AR crs "$work/librocksdb.a" "$work"/*.o
rm -f "$work"/unit* "$work/sources"
mv -T "$work" "$directory"
say "built $archive ($(du -h "$archive" | cut -f 1)) in $((SECONDS - started)) s"
answer
