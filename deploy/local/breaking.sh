#!/bin/sh
# Are the contracts still understood by those who have stubs of them? Compares with the last tag;
# without one, with where this branch left main, or with the commit before.
set -eu
PATH="$PATH:target/tools/node_modules/.bin"
if ! command -v buf >/dev/null || ! git rev-parse --quiet --verify HEAD^ >/dev/null; then
    echo "SKIPPED: buf breaking: no buf here, or no commit to compare with" >&2
    exit 0
fi
base=$(git describe --tags --abbrev=0 2>/dev/null || git merge-base HEAD main 2>/dev/null ||
    git merge-base HEAD origin/main 2>/dev/null || echo HEAD)
[ "$(git rev-parse "$base^{commit}")" != "$(git rev-parse HEAD)" ] || base=HEAD^
echo "buf breaking --against $(git describe --always "$base")"
# As an archive: a working tree of git has no .git that buf could clone.
git archive "$base" buf.yaml proto | buf breaking --against -#format=tar
