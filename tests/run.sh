#!/bin/sh
# Runs every test of tower-keep. Installs what is missing: Debian's redis-server.
# Arguments go to `cargo test`: `sh tests/run.sh cache::ranges`.
set -eu
cd "$(dirname "$0")/.."

if ! command -v redis-server >/dev/null 2>&1; then
    echo "installing redis-server"
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    $as_root apt-get update -qq
    # The tests start servers of their own; the package's service need not run.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server openssl
fi

# Tests start the example programs. `cargo test` builds them, but not when it is given a filter.
cargo build --all-features --examples
exec cargo test --all-features "$@"
