#!/bin/sh
# Can a database of the version before be migrated? A migration that has landed is never edited: the
# databases that have it would refuse to start. And what takes something away says so in its name.
set -eu
cd "$(dirname "$0")/../.."
if ! base=$(deploy/local/base.sh); then
    echo "SKIPPED: migrations: no commit to compare with" >&2
    exit 0
fi
echo "migrations since $(git describe --always "$base")"
edited=$(git diff --name-only --diff-filter=a "$base" -- 'services/*/migrations/*.sql')
if [ -n "$edited" ]; then
    echo "edited after it had landed; add a migration instead: $edited" >&2
    exit 1
fi
takes_away='drop +(table|column|view|function|type)|rename +(to|column)|set +not +null|alter +(column +)?[a-z_]+ +(set +data +)?type'
added=$(git ls-files --others --cached 'services/*/migrations/*.sql' |
    grep -vxF "$(git ls-tree -r --name-only "$base" -- services)" || true)
for migration in $added; do
    case $migration in *_contract_[0-9]*) continue ;; esac
    if grep -iE "$takes_away" "$migration"; then
        echo "$migration takes something away: see docs/upgrading.md for how it is to be called" >&2
        exit 1
    fi
done
