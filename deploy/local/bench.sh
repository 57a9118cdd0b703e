#!/bin/sh
# Measures a shop of its own, in a folder of its own, with the release build, and
# pgbench on the same Postgres in the same run. With STORED=5000000, something else: see there.
set -eu
[ -z "${STORED:-}" ] || exec deploy/local/bench-stored.sh
bench=target/bench
shop="target/release/shop --dir $bench/shop"
mkdir -p $bench

# pgbench comes from the distribution's package, unpacked here and never installed.
pgbench=$(command -v $bench/root/usr/lib/postgresql/*/bin/pgbench || true)
if [ -z "$pgbench" ] && command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    [ -n "$(apt-cache pkgnames postgresql)" ] || apt-get update -qq
    server=$(apt-cache depends postgresql | sed -n 's/.*Depends: \(postgresql-[0-9]*\)$/\1/p')
    libraries=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances libpq5 | grep '^[a-z]' | grep -v '^libc6$')
    # shellcheck disable=SC2086 # lists of packages
    deploy/local/unpack.sh $bench/root $server $libraries
    pgbench=$(command -v $bench/root/usr/lib/postgresql/*/bin/pgbench || true)
fi
if [ -n "$pgbench" ]; then
    lib=$(pwd)/$bench/root/usr/lib/$(uname -m)-linux-gnu
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$lib" "$(pwd)/$pgbench" >$bench/pgbench
    chmod +x $bench/pgbench
    yardstick="--pgbench $bench/pgbench"
else
    echo "SKIPPED: the yardstick: no pgbench here, and no apt-get to unpack one with" >&2
    yardstick=
fi

# A narrow door, so that the overload below shows what it is for: as wide as the clients need.
clients=${CLIENTS:-64}
export MAX_PLACING="${MAX_PLACING:-$((clients > 128 ? clients : 128))}"
trap '$shop down --wipe' EXIT
trap 'exit 130' INT TERM
$shop up --detach --no-telemetry --brew-scale 0 --reception-port 0 --barista-port 0 --payments-port 0
# shellcheck disable=SC2086 # a list of words
$shop load --hire 196 --clients "${CLIENTS:-64}" --seconds "${DURATION:-20}" $yardstick --json $bench/load.json
# Five times what it just made: what it lets in keeps its latency.
rate=$(sed -n 's/.*"placed_per_second": \([0-9]*\).*/\1/p' $bench/load.json)
$shop load --rate $((5 * rate)) --seconds "${DURATION:-20}" --json $bench/overload.json --against $bench/load.json
$shop messages --json $bench/messages.json
# Those who only look on, at orders that wait to be collected.
$shop watchers --watchers "${WATCHERS:-5000}" --hire 196 --clients "${CLIENTS:-64}" --seconds "${DURATION:-20}" \
    --idle-seconds "${IDLE:-60}" --json $bench/watchers.json
# What it costs to trace all that, on the same servers.
$shop down
$shop overhead --hire 196 --clients "${CLIENTS:-64}" --seconds "${DURATION:-20}" --turns "${TURNS:-3}" --json $bench/overhead.json
