#!/bin/sh
# Whether docker-compose.yml is one: asks a docker-compose, or docker's own. Needs no engine.
set -eu
cd "$(dirname "$0")/../.."
if docker compose version >/dev/null 2>&1; then
    set -- docker compose
else
    set -- docker-compose
fi
deploy/local/optional.sh "$@" config --quiet
