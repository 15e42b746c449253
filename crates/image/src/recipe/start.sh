#!/bin/bash
# Runs the script of a recipe: `start.sh SCRIPT sandbox|script|copy`. When the tree is to be the
# sandbox's own, copies that to /build/rootfs, after the script or, for `copy`, before.
set -eu

copy_root() {
  local top
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
}

if [ "$2" = copy ]; then copy_root; fi
cd /build/recipe
/bin/bash "/build/recipe/$1"
if [ "$2" = sandbox ]; then copy_root; fi
