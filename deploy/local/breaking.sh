#!/bin/sh
# Are the contracts still understood by those who have stubs of them?
set -eu
cd "$(dirname "$0")/../.."
PATH="$PATH:target/tools/node_modules/.bin"
if ! command -v buf >/dev/null || ! base=$(deploy/local/base.sh); then
    echo "SKIPPED: buf breaking: no buf here, or no commit to compare with" >&2
    exit 0
fi
echo "buf breaking --against $(git describe --always "$base")"
# As an archive: a working tree of git has no .git that buf could clone.
git archive "$base" buf.yaml proto | buf breaking --against -#format=tar
