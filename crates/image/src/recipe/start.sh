#!/bin/bash
# Runs the script of a recipe and, when the tree is to be the sandbox's own, copies that to
# /build/rootfs: `start.sh SCRIPT sandbox|script`.
set -eu
cd /build/recipe
/bin/bash "/build/recipe/$1"
[ "$2" = sandbox ] || exit 0

shopt -s dotglob nullglob
for top in /*; do
  case $top in
    /build) ;;
    # Each sandbox gets its own: only the directory itself belongs to the tree.
    /dev | /proc | /run | /sys | /tmp)
      mkdir "/build/rootfs$top"
      chmod --reference="$top" "/build/rootfs$top"
      ;;
    *) cp --archive --one-file-system -- "$top" /build/rootfs/ ;;
  esac
done
# /var/lock leads there.
mkdir -m 1777 /build/rootfs/run/lock
