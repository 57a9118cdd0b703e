#!/bin/sh
# The commit that is compared with, and upgraded from: the last tag before this commit; without one,
# where this branch left main, or the commit before. Says why if there is none.
set -eu
if ! git rev-parse --quiet --verify HEAD^ >/dev/null; then
    echo "there is no commit to compare with: this clone has one only, or none" >&2
    exit 1
fi
# Of HEAD^: on a commit that is tagged itself, the version before is the tag before.
base=$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null || git merge-base HEAD main 2>/dev/null ||
    git merge-base HEAD origin/main 2>/dev/null || echo HEAD)
[ "$(git rev-parse "$base^{commit}")" != "$(git rev-parse HEAD)" ] || base=HEAD^
git rev-parse "$base^{commit}"
