#!/bin/sh
# Runs a check whose tool not everybody has. A check that is skipped says so, loudly.
set -eu
if command -v "$1" >/dev/null; then
    echo "$*"
    exec "$@"
fi
echo "SKIPPED: $*: $1 is not installed" >&2
