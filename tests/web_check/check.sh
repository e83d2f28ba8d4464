#!/bin/sh
# Checks the page's own files under service/web: types, lint and format (`check.sh fix` corrects the last two).
# Where node or its packages can't be had, it says so and succeeds, but in CI (REQUIRE_TEST_PROGRAMS=1) it fails.
set -eu
cd "$(dirname "$0")/../.."
here=tests/web_check programs=.venv/web/node_modules/.bin

why=$($here/install.sh 2>&1) || {
  echo "NOT CHECKED: service/web, because $why." >&2
  [ "${REQUIRE_TEST_PROGRAMS:-}" != 1 ]
  exit
}

if [ "${1:-}" = fix ]; then
  exec $programs/biome check --colors=off --write --config-path=$here service/web
fi
$programs/biome check --colors=off --error-on-warnings --config-path=$here service/web
$programs/tsc --project $here
