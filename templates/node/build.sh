#!/bin/bash
# Makes the tree of template `node` out of its own sandbox, one of `base`.
#
# Packages of npm have known hashes; no script of theirs runs.
set -euo pipefail

recipe=/build/recipe
inputs=/build/inputs
tools=/usr/local/lib/node-tools
work=$(mktemp -d)

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8 HOME=$work
umask 022

progress() {
  printf '::progress %s %s\n' "$1" "$2"
}

# What the host trusts beside what this sandbox does: registries may be behind a proxy of the operator's.
cat /etc/ssl/certs/ca-certificates.crt "$inputs/ca-certificates.crt" >"$work/certificates"
export NPM_CONFIG_CAFILE=$work/certificates NPM_CONFIG_GLOBALCONFIG=$inputs/npmrc NPM_CONFIG_CACHE=$work/npm
unset NODE_EXTRA_CA_CERTS

progress 5 'fetching the packages'
mkdir -p "$tools"
cp "$recipe/tools/package.json" "$recipe/tools/package-lock.json" "$tools/"
npm ci --prefix "$tools" --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier
progress 80 'linking the programs'
for program in "$tools"/node_modules/.bin/*; do
  ln -sf "$program" "/usr/local/bin/${program##*/}"
done
rm -rf "$work"
progress 95 'copying the tree'
