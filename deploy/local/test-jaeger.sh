#!/bin/sh
# Sends the spans of a whole shop to a real Jaeger and asks it for each order's trace.
# The first time Jaeger is built, which takes about five minutes and is kept in target/tools.
set -eu
version=$(sed -n 's/^require .*\/jaeger v//p' deploy/jaeger/go.mod)
jaeger=$(pwd)/target/tools/jaeger-$version
if [ ! -x "$jaeger" ]; then
    if ! command -v go >/dev/null; then
        echo "SKIPPED: make test-jaeger: Go, which Jaeger is built with, is not installed" >&2
        exit 0
    fi
    echo "building Jaeger $version, once"
    mkdir -p target/tools
    (cd deploy/jaeger && go build -trimpath -ldflags="-s -w" -o "$jaeger.new" \
        github.com/jaegertracing/jaeger/cmd/jaeger)
    mv "$jaeger.new" "$jaeger"
fi
JAEGER=$jaeger exec cargo test --locked --test shop jaeger:: -- --ignored --nocapture
