#!/usr/bin/env bash
# Makes sure that everything is there that building ("run") or testing ("test") needs.
#
#   scripts/setup.sh run
#   eval "$(scripts/setup.sh test)"
#
# What is on PATH and works is used as it is. Missing Debian packages are installed when this runs as
# root; otherwise it prints the line that installs them and ends with exit code 1. For the tests it
# also fetches paho-mqtt (tests/requirements.txt) and MQTT.js (tests/package-lock.json) once into the
# user's cache directory. When everything is there, no network is needed.
#
# stdout carries only lines to evaluate, for "test": FLOTILLA_TEST_PYTHON (a Python with paho-mqtt)
# and FLOTILLA_TEST_NODE_MODULES (for NODE_PATH). Everything else goes to stderr.
# Environment: PYTHON (default python3), LIBCLANG_PATH, XDG_CACHE_HOME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null; }

purpose=${1:-}
case $purpose in
    run | test) ;;
    *) echo "usage: scripts/setup.sh run|test" >&2; exit 2 ;;
esac

cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME}/.cache}/flotilla
python=${PYTHON:-python3}
hash() { sha256sum | cut -c 1-12; }
python_environment=$cache/python-$({ "$python" --version; cat tests/requirements.txt; } 2>&1 | hash)
node_environment=$cache/node-$(hash <tests/package-lock.json)

has_paho() { "$python_environment/bin/python" -c 'import paho.mqtt.client' 2>/dev/null; }
has_mqtt_js() { [ -f "$node_environment/node_modules/mqtt/package.json" ]; }

# --- Programs and libraries --------------------------------------------------------------------

# librocksdb-sys's build script loads libclang, which reads stddef.h and its like from a directory
# of its own.
has_libclang() {
    # A directory that is not there makes find fail, and does not matter.
    [ -n "$(find ${LIBCLANG_PATH:+"$LIBCLANG_PATH"} /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/local/lib \
        -maxdepth 1 -name 'libclang[.-]*so*' ! -name 'libclang-cpp*' 2>/dev/null || true)" ] &&
        [ -n "$(find /usr/lib/llvm-*/lib/clang /usr/lib/clang /usr/lib64/clang /usr/local/lib/clang \
            -maxdepth 3 -name stddef.h 2>/dev/null || true)" ]
}

# Debian 12 has clang 14. Elsewhere only the large development package has a name without a number.
libclang_packages() {
    if (. /etc/os-release && [ "$ID$VERSION_ID" = debian12 ]) 2>/dev/null; then
        echo libclang1-14 libclang-common-14-dev
    else
        echo libclang-dev
    fi
}

missing_packages() {
    { has "${CXX:-g++}" && has cc; } || echo g++
    has_libclang || libclang_packages
    [ "$purpose" = test ] || return 0
    has openssl || echo openssl
    { has mosquitto_pub && has mosquitto_sub; } || echo mosquitto-clients
    has_paho || "$python" -c 'import venv, ensurepip' 2>/dev/null || echo python3 python3-venv
    has node || echo nodejs
    has_mqtt_js || has npm || echo npm
}

install() {
    local line="sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
    has apt-get || die "missing: $* (these are Debian's names). Install what corresponds to them here."
    [ "$(id -u)" -eq 0 ] || die "some packages are missing; install them and start again:

    $line
"
    say "installing $*"
    apt-get update -qq </dev/null >&2 || say "'apt-get update' failed, trying with what apt knows already"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2 ||
        die "apt could not install the packages, see above. With a network, this line does it:

    $line
"
}

for program in cargo rustc; do
    has "$program" || die "'$program' is not on PATH; install a Rust toolchain (https://rustup.rs), or 'source ~/.cargo/env' if there is one."
done
if [ "$purpose" = test ]; then
    for tool in fmt clippy; do
        cargo "$tool" --version >/dev/null 2>&1 ||
            die "'cargo $tool' does not work; 'rustup component add rustfmt clippy' installs it."
    done
fi
readarray -t packages < <(missing_packages | tr ' ' '\n')
if [ "${#packages[@]}" -gt 0 ]; then
    install "${packages[@]}"
    readarray -t packages < <(missing_packages | tr ' ' '\n')
    [ "${#packages[@]}" -eq 0 ] || die "still missing after installing: ${packages[*]}"
fi
[ "$purpose" = test ] || exit 0

# --- Foreign clients for the tests -------------------------------------------------------------

mkdir -p "$cache" || die "cannot create '$cache'; set XDG_CACHE_HOME to a directory you may write to."
exec 9>"$cache/setup.lock"
flock 9 # two runs at once would build the same directories

if ! has_paho; then
    # Debian's Python may be new, then its name is known only now.
    python_environment=$cache/python-$({ "$python" --version; cat tests/requirements.txt; } 2>&1 | hash)
    say "fetching paho-mqtt for the tests"
    "$python" -m venv --clear "$python_environment" 9>&- >&2 || die "'$python -m venv' failed, see above."
    "$python_environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --requirement tests/requirements.txt </dev/null 9>&- >&2 ||
        die "pip could not install tests/requirements.txt, see above; it needs the network once."
    has_paho || die "paho-mqtt was installed into '$python_environment', but cannot be imported there."
fi
if ! has_mqtt_js; then
    say "fetching MQTT.js for the tests"
    rm -rf "$node_environment".*
    work=$(mktemp -d "$node_environment.XXXXXX")
    cp tests/package.json tests/package-lock.json "$work"
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --omit=dev --loglevel=error </dev/null 9>&- >&2) ||
        die "npm could not install tests/package-lock.json, see above; it needs the network once."
    mv -T "$work" "$node_environment"
fi

printf 'export FLOTILLA_TEST_PYTHON=%q\n' "$python_environment/bin/python"
printf 'export FLOTILLA_TEST_NODE_MODULES=%q\n' "$node_environment/node_modules"
