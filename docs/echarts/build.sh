#!/usr/bin/env bash
# Builds the copy of Apache ECharts that the pages use, from the versions of package-lock.json; needs node, npm and the registry.
#
#     bash docs/echarts/build.sh
#
# Writes echarts.min.js with its hash, licences and notice into attn_nas/report/pages/static. To take a newer release, change
# package.json, run `npm install --package-lock-only` beside it, and build again.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
to="$here/../../attn_nas/report/pages/static"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$here/entry.js" "$work"
cd "$work"
npm ci --no-audit --no-fund --ignore-scripts --silent
version="$(node -p "require('echarts/package.json').version")"
npx esbuild entry.js --bundle --minify --format=iife --global-name=echarts --target=es2020 --charset=utf8 --legal-comments=none \
    --banner:js="/*! Apache ECharts $version, a custom build; licences and notice: echarts.LICENSE */" \
    --outfile="$to/echarts.min.js" --log-level=warning
cd node_modules
{
    cat echarts/NOTICE
    printf '\n\n==== Apache ECharts %s ====\n\n' "$version"
    cat echarts/LICENSE
    printf '\n\n==== zrender, a part of it ====\n\n'
    cat zrender/LICENSE
    printf '\n\n==== tslib, a part of it ====\n\n'
    cat tslib/LICENSE.txt
} | tr -d '\r' >"$to/echarts.LICENSE"
cd "$to"
sha256sum echarts.min.js >echarts.sha256
wc -c echarts.min.js
