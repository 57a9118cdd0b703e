#!/bin/sh
# Does the cost of an order depend on how many are stored? Compares a shop that has ten thousand with
# one that has $STORED, release build; each takes 2 to 3 KB of disk.
#
# They take turns, so that whatever else the machine does meets both. Each is opened anew for its
# turn, and the one with few is emptied before: a turn adds some hundred thousand.
# shellcheck disable=SC2086 # lists of words
set -eu
bench=target/bench
few="target/release/shop --dir $bench/few"
many="target/release/shop --dir $bench/many"
up="up --detach --quiet --no-telemetry --brew-scale 0 --reception-port 0 --barista-port 0 --payments-port 0"
load="load --hire 196 --clients ${CLIENTS:-64} --seconds ${DURATION:-20}"
mkdir -p $bench

trap '$few down --wipe; $many down --wipe' EXIT
trap 'exit 130' INT TERM
$many $up
$many fill --orders "$STORED"
$many down
for turn in 1 2; do
    $few $up
    $few fill --orders 10000
    $few $load --json $bench/few-$turn.json
    $few down --wipe
    $many $up
    $many $load --json $bench/many-$turn.json --against $bench/few-$turn.json
    $many down
done
