#!/bin/sh
# Installs the pinned npm packages with which the page's files are checked, into .venv/web.
# It needs node and npm. Where one of them or the packages can't be had, it says why and fails.
set -eu
cd "$(dirname "$0")/../.."
here=tests/web_check place=.venv/web

{ command -v node && command -v npm; } >/dev/null || {
  echo "node or npm is not installed (apt-get install nodejs npm)" >&2
  exit 1
}
cmp -s $here/package-lock.json $place/installed.json && exit
mkdir -p $place
cp $here/package.json $here/package-lock.json $place
npm ci --prefix $place --ignore-scripts --no-audit --no-fund --silent || {
  echo "npm could not install its packages" >&2
  exit 1
}
cp $here/package-lock.json $place/installed.json
