#!/bin/sh
# Builds the services of the version before into target/previous. The last line is where they are.
# What they share with this version (all crates that are not ours) is built once, in target.
set -eu
cd "$(dirname "$0")/../.."
base=$(deploy/local/base.sh)
folder=$(pwd)/target/previous
mkdir -p "$folder/source"
echo "building the services of $(git describe --always "$base")" >&2
# Not a worktree, which the repository would have to remember; with an index of its own, so that
# only what differs is written, and built, the next time.
GIT_INDEX_FILE=$folder/index git --work-tree="$folder/source" read-tree --reset -u "$base"
target=$(pwd)/target
cd "$folder/source"
CARGO_BUILD_BUILD_DIR=$target cargo build --locked --workspace --bins --target-dir "$folder" >&2
echo "$folder/debug"
