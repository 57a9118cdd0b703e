#!/bin/sh
# Builds docker-compose from its Go modules into target/tools: once, in about two minutes.
# Pinned by go.mod and checked by go.sum. It checks docker-compose.yml where there is no docker.
set -eu
cd "$(dirname "$0")"
tools=$(pwd)/../../target/tools
[ ! -x "$tools/docker-compose" ] || [ go.mod -nt "$tools/docker-compose" ] || exit 0
if ! command -v go >/dev/null; then
    echo "there is no Go to build docker-compose with: https://go.dev/doc/install" >&2
    exit 1
fi
echo "building docker-compose, once" >&2
mkdir -p "$tools"
go build -mod=readonly -trimpath -ldflags="-s -w" -o "$tools/docker-compose.new" github.com/docker/compose/v2/cmd
mv "$tools/docker-compose.new" "$tools/docker-compose"
