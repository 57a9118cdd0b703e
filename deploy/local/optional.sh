#!/bin/sh
# Runs a check whose tool not everybody has. A check that is skipped says so, loudly.
set -eu
# What this repository builds, unpacks and installs for itself.
tools=$(dirname "$0")/../../target/tools
PATH="$PATH:$tools:$tools/debian/usr/bin:$tools/node_modules/.bin"
if command -v "$1" >/dev/null; then
    echo "$*"
    exec "$@"
fi
echo "SKIPPED: $*: $1 is not installed" >&2
