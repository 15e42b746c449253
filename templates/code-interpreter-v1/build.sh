#!/bin/bash
# Makes the tree of template `code-interpreter-v1` from the copy of `base` in /build/rootfs.
#
# Packages of pip and npm are wheels and archives with known hashes; no script of theirs runs.
set -euo pipefail

recipe=/build/recipe
inputs=/build/inputs
tree=/build/rootfs
kernels=$tree/usr/lib/soulbox/kernels
# Downloads go to the disk, not to the sandbox's memory; none of it stays.
work=$tree/.work

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=$work TMPDIR=$work
umask 022

# shellcheck source=../base/apt.sh
. "$recipe/templates/base/apt.sh"

progress() {
  printf '::progress %s %s\n' "$1" "$2"
}

# What the host trusts beside what this sandbox does: registries may be behind a proxy of the operator's.
trust() {
  cat /etc/ssl/certs/ca-certificates.crt "$inputs/ca-certificates.crt" >"$work/certificates"
  export PIP_CERT=$work/certificates NPM_CONFIG_CAFILE=$work/certificates
  unset REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS
}

# Fonts of packages that need nothing but to be unpacked.
fonts() {
  prepare_apt
  apt-get -qq update
  (cd "$work" && apt-get -qq download fonts-dejavu-core fonts-noto-cjk)
  local package
  for package in "$work"/*.deb; do
    dpkg --root="$tree" --force-unsafe-io --force-script-chrootless --install "$package"
  done
}

# Turns what pip prints into progress, from 10 to 60 percent.
follow() {
  local total done=0 line word package percent
  total=$(grep -c == "$recipe/requirements.txt")
  while IFS= read -r line; do
    printf '%s\n' "$line"
    read -r word package _ <<<"$line" || true
    case $word in
      Collecting)
        done=$((done + 1))
        percent=$((10 + 40 * done / total))
        progress "$((percent < 50 ? percent : 50))" "downloading ${package%%=*}"
        ;;
      Installing) progress 55 'installing the libraries' ;;
    esac
  done
}

# Beside the packages of the distribution, where `pip install` of root puts them too.
libraries() {
  PIP_CONFIG_FILE=$inputs/pip.conf PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BREAK_SYSTEM_PACKAGES=1 \
    python3 -m pip install \
    --root "$tree" --root-user-action ignore --ignore-installed --no-cache-dir \
    --no-compile --no-deps --only-binary :all: --require-hashes --progress-bar off \
    --requirement "$recipe/requirements.txt" 2>&1 | follow
}

kernels() {
  mkdir -p "$kernels"
  cp -r "$recipe/kernels/." "$kernels/"
  NPM_CONFIG_GLOBALCONFIG=$inputs/npmrc NPM_CONFIG_CACHE=$work/npm npm ci --prefix "$kernels/javascript" \
    --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier
}

# What one font lacks comes from the next: Chinese, Japanese and Korean.
font_order() {
  sed -i 's/^#*font\.family *:.*/#font.family: sans-serif, Noto Sans CJK JP/' \
    "$tree"/usr/local/lib/python3*/dist-packages/matplotlib/mpl-data/matplotlibrc
}

# What Python makes at the first use, made here once: sandboxes cannot write to the tree, and each would do it again.
compile() {
  local version
  version=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  # Templates of libraries are no Python and do not compile.
  python3 -m compileall -q -j 2 -s "$tree" -p / \
    "$tree/usr/local/lib/$version/dist-packages" "$kernels" || true
}

# The list of fonts that matplotlib keeps in each home.
font_list() {
  local home owner
  for home in root home/user; do
    owner=$(stat -c %u:%g "$tree/$home")
    chroot --userspec="$owner" "$tree" env -i PATH="$PATH" HOME="/$home" \
      python3 -c 'import matplotlib.font_manager'
  done
}

mkdir "$work"
progress 1 'installing the kernels'
trust
kernels
progress 5 'fetching fonts'
fonts
progress 10 'fetching the libraries'
libraries
font_order
progress 70 'compiling the libraries'
compile
progress 90 'listing the fonts'
font_list
rm -rf "$work" "$tree/var/log/dpkg.log" "$tree"/var/lib/dpkg/*-old
progress 98 'done'
