#!/bin/sh
# Builds Prometheus and promtool from their Go modules into target/tools: once, in five to ten minutes.
# Pinned by go.mod and checked by go.sum. Without service discovery, which nothing here uses.
set -eu
cd "$(dirname "$0")"
tools=$(pwd)/../../target/tools
[ ! -x "$tools/promtool" ] || [ go.mod -nt "$tools/promtool" ] || exit 0
if ! command -v go >/dev/null; then
    echo "there is no Go to build Prometheus with: https://go.dev/doc/install" >&2
    exit 1
fi
mkdir -p "$tools"
for tool in prometheus promtool; do
    go build -mod=readonly -trimpath -tags=remove_all_sd -ldflags="-s -w" \
        -o "$tools/$tool.new" github.com/prometheus/prometheus/cmd/$tool
    # Whole, or not there: cut off, it would count as built.
    mv "$tools/$tool.new" "$tools/$tool"
done
