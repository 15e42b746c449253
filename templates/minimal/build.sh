#!/bin/bash
# Makes the tree of template `minimal` in /build/rootfs: two packages of the distribution, unpacked.
set -euo pipefail

recipe=/build/recipe
tree=/build/rootfs

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root
umask 022

# shellcheck source=../base/apt.sh
. "$recipe/templates/base/apt.sh"

progress() {
  printf '::progress %s %s\n' "$1" "$2"
}

# Programs without libraries: nothing else has to be there for them.
programs() {
  local work package
  work=$(mktemp -d)
  (cd "$work" && apt-get -qq download bash-static busybox-static)
  for package in "$work"/*.deb; do
    dpkg-deb --extract "$package" "$work/unpacked"
  done
  mkdir -p "$tree/usr/bin" "$tree/usr/sbin" "$tree/usr/lib"
  ln -s usr/bin "$tree/bin"
  ln -s usr/sbin "$tree/sbin"
  ln -s usr/lib "$tree/lib"
  find "$work/unpacked" -type f -name bash-static -exec cp {} "$tree/usr/bin/bash" \;
  find "$work/unpacked" -type f -name busybox -exec cp {} "$tree/usr/bin/busybox" \;
  chmod 0755 "$tree/usr/bin/bash" "$tree/usr/bin/busybox"
  local name
  for name in $("$tree/usr/bin/busybox" --list); do
    [ -e "$tree/usr/bin/$name" ] || ln -s busybox "$tree/usr/bin/$name"
  done
  rm -rf "$work"
}

accounts() {
  local etc=$tree/etc
  mkdir -p "$etc"
  cat >"$etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/bash
user:x:1000:1000::/home/user:/bin/bash
nobody:x:65534:65534:nobody:/:/bin/false
PASSWD
  printf 'root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n' >"$etc/group"
  printf 'root:*:19000::::::\nuser:*:19000::::::\nnobody:*:19000::::::\n' >"$etc/shadow"
  chmod 0640 "$etc/shadow"
  printf 'hosts: files dns\n' >"$etc/nsswitch.conf"
  : >"$etc/machine-id"
  mkdir -p "$tree/home/user" "$tree/root" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/run" \
    "$tree/var/tmp" "$tree/opt" "$tree/mnt" "$tree/srv"
  mkdir -m 1777 "$tree/tmp"
  chmod 1777 "$tree/var/tmp"
  chmod 0700 "$tree/root"
  chown 1000:1000 "$tree/home/user"
}

progress 5 'fetching package lists'
prepare_apt
apt-get -qq update
progress 50 'fetching the programs'
programs
progress 90 'making the user'
accounts
progress 98 'done'
