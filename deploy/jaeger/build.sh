#!/bin/sh
# Builds Jaeger from its Go modules into target/tools: once, in about five minutes.
# Pinned by go.mod and checked by go.sum. The last line is where it is.
set -eu
cd "$(dirname "$0")"
version=$(sed -n 's/^require .*\/jaeger v//p' go.mod)
tools=$(pwd)/../../target/tools
jaeger=$tools/jaeger-$version
if [ ! -x "$jaeger" ]; then
    if ! command -v go >/dev/null; then
        echo "there is no Go to build Jaeger with: https://go.dev/doc/install" >&2
        exit 1
    fi
    echo "building Jaeger $version, once" >&2
    mkdir -p "$tools"
    go build -trimpath -ldflags="-s -w" -o "$jaeger.new" github.com/jaegertracing/jaeger/cmd/jaeger
    mv "$jaeger.new" "$jaeger"
fi
echo "$jaeger"
