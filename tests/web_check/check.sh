#!/bin/sh
# Checks the page's own files under service/web: types, lint and format (`check.sh fix` mends the last two).
# It needs node and npm. Where one of them or the packages can't be had, it says so and succeeds, but in CI
# (REQUIRE_TEST_PROGRAMS=1) it fails.
set -eu
cd "$(dirname "$0")/../.."
here=tests/web_check place=.venv/web

skip() {
  echo "NOT CHECKED: service/web, because $1." >&2
  [ "${REQUIRE_TEST_PROGRAMS:-}" != 1 ]
  exit
}

{ command -v node && command -v npm; } >/dev/null || skip "node or npm is not installed (apt-get install nodejs npm)"

if ! cmp -s $here/package-lock.json $place/installed.json; then
  mkdir -p $place
  cp $here/package.json $here/package-lock.json $place
  npm ci --prefix $place --ignore-scripts --no-audit --no-fund --silent ||
    skip "npm could not install its packages"
  cp $here/package-lock.json $place/installed.json
fi

biome="$place/node_modules/.bin/biome"
if [ "${1:-}" = fix ]; then
  exec "$biome" check --colors=off --write --config-path=$here service/web
fi
"$biome" check --colors=off --error-on-warnings --config-path=$here service/web
"$place/node_modules/.bin/tsc" --project $here
