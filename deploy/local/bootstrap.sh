#!/bin/sh
# Sees to what cargo does not bring: a Java runtime 17, Maven, make, and a C and a C++
# compiler (librdkafka's configure asks for both).
# As root on Debian or Ubuntu it installs what is missing; elsewhere it says what to
# install. Silent and quick when nothing is missing.
set -eu

major() { java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1; }

missing=""
need() { missing="$missing $1"; }
{ command -v java >/dev/null && [ "$(major)" -ge 17 ]; } 2>/dev/null || need openjdk-17-jre-headless
command -v mvn >/dev/null || need maven
{ command -v c++ && echo '#include <stdio.h>' | cc -E -; } >/dev/null 2>&1 || need "gcc g++ libc6-dev"
command -v make >/dev/null || need make

if ! command -v cargo >/dev/null; then
    echo "cargo is not on the PATH. Install Rust 1.94 or newer: https://rustup.rs" >&2
    exit 1
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # A newer distribution has a newer Java only.
    case "$missing" in *openjdk-17*)
        apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 ||
            missing=$(echo "$missing" | sed 's/openjdk-17-jre-headless/default-jre-headless/') ;;
    esac
    # shellcheck disable=SC2086 # a list of packages
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    exit 0
fi

cat >&2 <<END
Missing on this machine:$missing
    Debian, Ubuntu:  sudo apt-get install --no-install-recommends$missing
    Fedora:          sudo dnf install java-21-openjdk-headless maven gcc gcc-c++ make
    macOS:           brew install openjdk maven; xcode-select --install
Then run the same command again.
END
exit 1
