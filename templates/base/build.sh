#!/bin/bash
# Makes the tree of template `base` in /build/rootfs.
#
# It runs as root of a sandbox that may not mount anything or make devices. mmdebstrap is content
# with that: it warns that it cannot mount, and configures the packages in a plain chroot without
# /proc and /dev. Every package of the list beside this file takes that.
set -euo pipefail

recipe=/build/recipe
inputs=/build/inputs
tree=/build/rootfs

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true HOME=/root
umask 022

# shellcheck source=/dev/null
. "$inputs/release"

# shellcheck source=apt.sh
. "$recipe/apt.sh"

progress() {
  printf '::progress %s %s\n' "$1" "$2"
}

packages() {
  sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$recipe/packages" | paste -sd,
}

# Settings of dpkg that stay in the tree: a sandbox needs no manuals, no translations and no
# writes that survive a power cut.
dpkg_settings() {
  cat <<'SETTINGS'
force-unsafe-io
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/groff/*
path-exclude=/usr/share/linda/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
SETTINGS
}

# Turns what apt and dpkg print into progress, from 5 to 95 percent: one step for each package
# that is downloaded, unpacked and set up. The numbers of packages come in two portions, the
# essential ones and the rest.
follow() {
  local total=1 done=0 percent=5 last=-1 line word package
  while IFS= read -r line; do
    printf '%s\n' "$line"
    read -r word package _ <<<"$line" || true
    case $line in
      *' newly installed, '*)
        [[ $line =~ ([0-9]+)\ newly ]] && total=$((total + 3 * BASH_REMATCH[1])) ;;
      Get:*) done=$((done + 1)) word=downloading package=packages ;;
      Unpacking\ * | Setting\ up\ *) done=$((done + 1)) word=${word,} package=${package%%:*} ;;
      *) continue ;;
    esac
    # `Setting up` has its package one word later.
    [[ $word == setting ]] && read -r _ _ package _ <<<"$line" && word='setting up'
    percent=$((5 + 90 * done / (total < 700 ? 700 : total)))
    if ((percent > 95)); then percent=95; fi
    if ((percent > last)); then
      progress "$percent" "$word ${package%%:*}"
      last=$percent
    fi
  done
}

make_tree() {
  local settings
  settings=$(mktemp)
  dpkg_settings >"$settings"
  mmdebstrap --mode=root --variant=apt --format=directory --verbose \
    --skip=check/empty,chroot/mount,output/dev \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt="$settings" \
    --include="$(packages)" \
    "$SUITE" "$tree" "$inputs/$SOURCES" 2>&1 | follow
}

# Files of ours, the user, and what must not be left of the build.
finish_tree() {
  # The keys that the sources name may lie in /etc/apt.
  if [ -d "$inputs/apt/keyrings" ]; then
    mkdir -p "$tree/etc/apt/keyrings"
    cp "$inputs/apt/keyrings/"* "$tree/etc/apt/keyrings/"
  fi
  mv "$tree/etc/apt/apt.conf.d/99mmdebstrap" "$tree/etc/apt/apt.conf.d/90soulbox"
  mv "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$tree/etc/dpkg/dpkg.cfg.d/90soulbox"
  rm -f "$tree/etc/resolv.conf" "$tree/etc/hostname" "$tree/etc/hosts"
  cp -r "$recipe/root/." "$tree/"
  chmod 0440 "$tree/etc/sudoers.d/user"
  cp "$tree/etc/skel/.bashrc" "$tree/etc/skel/.profile" "$tree/root/"
  chroot "$tree" useradd --create-home --uid 1000 --user-group --shell /bin/bash user
  echo 'LANG=C.UTF-8' >"$tree/etc/default/locale"
  : >"$tree/etc/machine-id"
  # There is no init that could start services.
  printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
  chmod 0755 "$tree/usr/sbin/policy-rc.d"
  # Without device files, scripts of packages wrote ordinary ones; sandboxes have their own /dev.
  rm -rf "${tree:?}/dev" "${tree:?}/tmp" "${tree:?}/run"
  mkdir -m 0755 "$tree/dev" "$tree/run"
  mkdir -m 1777 "$tree/tmp" "$tree/run/lock"
  rm -f "$tree"/var/cache/debconf/*-old "$tree"/var/lib/dpkg/*-old "$tree"/var/log/*.log "$tree"/var/log/apt/*
  rm -f "$tree"/etc/{passwd,group,shadow,gshadow,subuid,subgid}- "$tree/etc/.pwd.lock"
}

# A package that is only half configured shows here and not in some sandbox later.
check_tree() {
  local audit
  audit=$(chroot "$tree" dpkg --audit)
  if [ -n "$audit" ]; then
    printf '%s\n' "$audit" >&2
    exit 1
  fi
}

progress 1 'reading the package sources'
prepare_apt
progress 3 'fetching package lists'
make_tree
progress 96 'making the user'
finish_tree
check_tree
progress 98 'done'
