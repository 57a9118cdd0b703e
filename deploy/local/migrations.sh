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
# One clause per line, in lower case, without comments and without what may go at any time.
clauses() {
    sed 's/--.*//' "$1" | tr '[:upper:]' '[:lower:]' | tr -s '[:space:]' ' ' |
        sed -E 's/, ?(add|alter|drop|rename) /;\1 /g' | tr ';' '\n' |
        sed -E 's/drop (constraint|default|not null|index)( |$)|is not null/\2/g'
}
takes_away='(^| )(drop|rename) |(^| )set not null|(^| )alter (column )?[^ ]+ (set data )?type '
# A version that does not know the column cannot insert any more.
demands='(^| )add .*not null'
gives=' (default|generated) |serial '
added=$(git ls-files --others --cached 'services/*/migrations/*.sql' |
    grep -vxF "$(git ls-tree -r --name-only "$base" -- services)" |
    grep -vE '/[0-9]+_contract_[0-9]+(_[^/]*)?\.sql$' || true)
for migration in $added; do
    if clauses "$migration" | grep -E "$takes_away" ||
        clauses "$migration" | grep -E "$demands" | grep -vE "$gives"; then
        echo "$migration takes something away: see docs/upgrading.md for how it is to be called" >&2
        exit 1
    fi
done
