#!/bin/sh
# Unpacks packages of the distribution into a folder, and installs none of them:
#   unpack.sh FOLDER PACKAGE…
set -eu
root=$1
shift
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "no apt-get here to fetch $* with" >&2
    exit 1
fi
mkdir -p "$root"
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
cd "$packages"
# A new machine has no lists of packages; root fetches them.
apt-get download -qq "$@" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$@"; }
cd - >/dev/null
for package in "$packages"/*.deb; do dpkg -x "$package" "$root"; done
