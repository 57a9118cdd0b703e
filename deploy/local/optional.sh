#!/bin/sh
# Runs a check whose tool not everybody has. A check that is skipped says so, loudly.
set -eu
# What this repository builds for itself.
PATH="$PATH:$(dirname "$0")/../../target/tools"
if command -v "$1" >/dev/null; then
    echo "$*"
    exec "$@"
fi
echo "SKIPPED: $*: $1 is not installed" >&2
