#!/usr/bin/env bash
# Makes what the virtual machine boots: vmlinuz, initramfs and root.img in the directory $1.
#
# The root is a copy of the host's own packages that the tests use, so nothing but the Linux package
# is downloaded, and test programs find the libraries they were linked with. Added to it: the
# work (file $1/work) and the files named in $1/files, which keep their absolute paths.
set -euo pipefail
out=$1
here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The host's packages that go in, with all that they depend on. What is not installed is left out.
packages=(
    base-files bash btrfs-progs coreutils dash debianutils e2fsprogs findutils grep gzip hostname iproute2
    kmod libc-bin libstdc++6 login mawk mount ncurses-base nftables passwd perl procps python3 sed
    strace sudo tar uidmap util-linux zlib1g
)
# Before the root can be mounted, its quotas too; everything else is loaded from it.
root_modules=(virtio_pci virtio_blk quota_v2)

need() {
    command -v "$1" >/dev/null || {
        echo "error: the virtual machine needs $1" >&2
        echo "help: apt-get install $2" >&2
        exit 1
    }
}

# The distribution's small Linux for virtual machines, unpacked once: remove the directory for a newer one.
fetch_linux() {
    [ -d "$out/linux" ] && return
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image-/ { print $2; exit }')
    if [ -z "$package" ]; then
        apt-get -qq update </dev/null
        package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
    fi
    [ -n "$package" ] || { echo "error: no package linux-image-cloud-amd64 here: the machine is made on Debian" >&2; exit 1; }
    rm -rf "$out/fetch" && mkdir -p "$out/fetch/tree"
    (cd "$out/fetch" && apt-get -qq -o APT::Sandbox::User=root download "$package")
    dpkg-deb --extract "$out"/fetch/*.deb "$out/fetch/tree"
    mv "$out/fetch/tree" "$out/linux"
    rm -rf "$out/fetch"
}

installed() {
    dpkg-query --show --showformat '${db:Status-Status} ${binary:Package}\n' "$@" 2>/dev/null |
        awk '$1 == "installed" { print $2 }'
}

host_files() {
    local closure
    mapfile -t closure < <(installed "${packages[@]}")
    mapfile -t closure < <(apt-cache depends --recurse --installed --no-recommends --no-suggests \
        --no-conflicts --no-breaks --no-replaces --no-enhances "${closure[@]}" | grep '^[a-z0-9]' | sort -u)
    mapfile -t closure < <(installed "${closure[@]}")
    dpkg-query --listfiles "${closure[@]}" | sort -u |
        grep -E '^/(usr/)?(bin|sbin|lib|lib32|lib64|libexec|share)/' |
        grep -vE '^/usr/share/(doc|man|info|locale|lintian|bash-completion)/' |
        while read -r file; do
            # Directories come with their files, and what the host has diverted or removed is not there.
            if [ -L "$file" ] || [ -f "$file" ]; then echo "${file#/}"; fi
        done
}

# Names that Debian's alternatives make; only those whose program went in.
alternatives() {
    local link real
    find /usr/bin /usr/sbin -lname '/etc/alternatives/*' | while read -r link; do
        real=$(readlink -f "$link") || continue
        if [ -e "$root$real" ]; then echo "${link#/}"; fi
    done
}

make_root() {
    rm -rf "$root" && mkdir -p "$root"/{usr,proc,sys,dev,run,tmp,etc,root,home,mnt,opt,srv,boot,media,work,var/tmp,var/lib}
    chmod 1777 "$root/tmp" "$root/var/tmp"
    local name
    for name in bin sbin lib lib32 lib64; do
        mkdir "$root/usr/$name"
        ln -s "usr/$name" "$root/$name"
    done
    host_files >"$out/list"
    # Half of Debian's packages still name /bin and /lib, which are links.
    tar -C / -cf - --no-recursion --transform 's,^\(bin\|sbin\|lib\|lib32\|lib64\)/,usr/\1/,S' -T "$out/list" |
        tar -C "$root" -xf -
    alternatives >"$out/list"
    tar -C / -cf - --no-recursion -T "$out/list" | tar -C "$root" -xf -
    for name in passwd group nsswitch.conf ld.so.conf ld.so.conf.d ld.so.cache alternatives debian_version \
        protocols services login.defs pam.d security sudoers sudoers.d python3.11 ssl/openssl.cnf ssl/certs; do
        [ -e "/etc/$name" ] || continue
        mkdir -p "$(dirname "$root/etc/$name")"
        cp -a "/etc/$name" "$root/etc/$name"
    done
    echo machine >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
    cp -a "$out/linux/lib/modules" "$root/usr/lib/"
    depmod -b "$root" "$version"
    cp "$(command -v busybox)" "$root/usr/bin/busybox"
    install -m 755 "$here/init" "$root/usr/sbin/machine-init"
    install -m 644 "$out/work" "$root/work/list"
    tar -C / -cf - --no-recursion -T "$out/files" | tar -C "$root" -xf -
}

make_initramfs() {
    local tree=$out/initramfs.tree module file
    rm -rf "$tree" && mkdir -p "$tree"/{dev,root,modules}
    cp "$(command -v busybox)" "$tree/busybox"
    {
        echo '#!/busybox sh'
        echo '/busybox mount -t devtmpfs dev /dev'
        for module in "${root_modules[@]}"; do
            modprobe -d "$root" -S "$version" --show-depends "$module"
        done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
            cp "$file" "$tree/modules/"
            echo "/busybox insmod /modules/${file##*/}"
        done
        # With quotas of projects, which this Linux has and not every host.
        echo '/busybox mount -t ext4 -o prjquota /dev/vda /root'
        echo '/busybox umount /dev'
        echo 'exec /busybox switch_root /root /usr/sbin/machine-init'
    } >"$tree/init"
    chmod +x "$tree/init"
    (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$out/initramfs"
    rm -rf "$tree"
}

make_image() {
    rm -f "$out/root.img"
    truncate -s 6G "$out/root.img"
    mke2fs -q -t ext4 -O quota,project,^has_journal -E quotatype=prjquota,lazy_itable_init=1,nodiscard \
        -d "$root" "$out/root.img"
}

need busybox busybox-static
need depmod kmod
need mke2fs e2fsprogs
need qemu-system-x86_64 qemu-system-x86
fetch_linux
version=$(ls "$out/linux/lib/modules")
root=$out/root
cp "$out/linux/boot/vmlinuz-$version" "$out/vmlinuz"
make_root
make_initramfs
make_image
rm -rf "$root" "$out/list"
