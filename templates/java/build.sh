#!/bin/bash
# Makes the tree of template `java` out of its own sandbox, one of `base`.
set -euo pipefail

recipe=/build/recipe

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true HOME=/root
umask 022

# shellcheck source=../base/apt.sh
. "$recipe/templates/base/apt.sh"

progress() {
  printf '::progress %s %s\n' "$1" "$2"
}

listed() {
  sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$recipe/packages"
}

# Turns what apt and dpkg print into progress, from 5 to 90 percent: three steps for each package.
follow() {
  local total=300 done=0 percent line word package
  while IFS= read -r line; do
    printf '%s\n' "$line"
    read -r word package _ <<<"$line" || true
    case $line in
      *' newly installed, '*) [[ $line =~ ([0-9]+)\ newly ]] && total=$((3 * BASH_REMATCH[1] + 1)) ;;
      Get:* | Unpacking\ * | Setting\ up\ *)
        done=$((done + 1))
        percent=$((5 + 85 * done / total))
        progress "$((percent < 90 ? percent : 90))" "${word,} ${package%%:*}"
        ;;
    esac
  done
}

packages() {
  # The host's sources for this build; the tree keeps its own.
  cp -a /etc/apt /build/rootfs/.apt
  prepare_apt
  apt-get -qq update
  # Links to manuals are made into it, although it stays empty otherwise.
  mkdir -p /usr/share/man/man1
  listed | xargs apt-get -y --no-install-recommends install 2>&1 | follow
  apt-get clean
  rm -rf /etc/apt /var/lib/apt/lists/*
  mv /build/rootfs/.apt /etc/apt
}

# A package that is only half configured shows here and not in some sandbox later.
check() {
  local audit
  audit=$(dpkg --audit)
  if [ -n "$audit" ]; then
    printf '%s\n' "$audit" >&2
    exit 1
  fi
}

progress 1 'fetching package lists'
packages
check
rm -f /var/log/*.log /var/log/apt/* /var/lib/dpkg/*-old /var/cache/debconf/*-old
progress 95 'copying the tree'
