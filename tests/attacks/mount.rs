//! Mounts by the old interface and the new, and what mounts keep: masks and read-only parts.

use crate::attempt::{Attempt, Control, both};
use crate::siege::besiege;
use Control::{Looked, Same, Weak};

const ATTEMPTS: &[Attempt] = &[
    both(
        "mount a tmpfs",
        "sc('mount', b'x', b'/mnt', b'tmpfs', 0, None)",
        "EPERM",
        Same,
    ),
    both(
        "bind the root elsewhere",
        "sc('mount', b'/', b'/mnt', None, 4096, None)",
        "EPERM",
        Same,
    ),
    both(
        "make the mounts of /proc/sys writable again",
        "sc('mount', None, b'/proc/sys', None, 32 | 4096, None)",
        "EPERM",
        Weak(
            "sc('mount', b'/proc/sys', b'/proc/sys', None, 4096, None)\n\
             sc('mount', None, b'/proc/sys', None, 32 | 4096, None)",
        ),
    ),
    both(
        "mount a second /proc without masks",
        "sc('mount', b'proc', b'/mnt', b'proc', 0, None)",
        "EPERM",
        Same,
    ),
    both(
        "mount the host's /sys",
        "sc('mount', b'sysfs', b'/mnt', b'sysfs', 0, None)",
        "EPERM",
        Same,
    ),
    both(
        "mount a cgroup v1 hierarchy, for its release_agent",
        "sc('mount', b'x', b'/mnt', b'cgroup', 0, b'none,name=soulbox-test')",
        "EPERM",
        Same,
    ),
    both(
        "mount the v2 hierarchy",
        "sc('mount', b'x', b'/mnt', b'cgroup2', 0, None)",
        "EPERM",
        Same,
    ),
    both(
        "mount devpts, for the terminals of others",
        "sc('mount', b'x', b'/mnt', b'devpts', 0, None)",
        "EPERM",
        Same,
    ),
    both(
        "mount debugfs",
        "sc('mount', b'x', b'/mnt', b'debugfs', 0, None)",
        "EPERM",
        Looked,
    ),
    both(
        "mount binfmt_misc, whose entries run for all of Linux",
        "sc('mount', b'x', b'/mnt', b'binfmt_misc', 0, None)",
        "EPERM",
        Looked,
    ),
    both(
        "mount an overlay, for trusted attributes",
        "[os.makedirs(scratch(d), exist_ok=True) for d in ('lower', 'upper', 'work', 'm')]\n\
         base = FACTS['scratch']\n\
         if PLACE == 'weak':\n    sc('mount', b'x', base.encode(), b'tmpfs', 0, None)\n    \
         [os.makedirs(scratch(d), exist_ok=True) for d in ('lower', 'upper', 'work', 'm')]\n\
         sc('mount', b'x', scratch('m').encode(), b'overlay', 0,\n   \
         f'lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work'.encode())",
        "EPERM",
        Same,
    ),
    both(
        "move a mount",
        "sc('mount', b'/dev', b'/mnt', None, 8192, None)",
        "EPERM",
        Same,
    ),
    both(
        "share mounts with whoever made them",
        "sc('mount', None, b'/', None, 1 << 20, None)",
        "EPERM",
        Same,
    ),
    both(
        "take the mask off /proc/sys",
        "sc('umount2', b'/proc/sys', 0)",
        "EPERM",
        Weak(
            "sc('mount', b'/proc/sys', b'/proc/sys', None, 4096, None)\n\
             sc('umount2', b'/proc/sys', 0)",
        ),
    ),
    both(
        "take the mask off /proc/cmdline lazily",
        "sc('umount2', b'/proc/cmdline', 2)",
        "EPERM",
        Weak(
            "sc('mount', b'/dev/null', b'/proc/cmdline', None, 4096, None)\n\
             sc('umount2', b'/proc/cmdline', 2)",
        ),
    ),
    both(
        "unmount the root",
        "sc('umount2', b'/', 2)",
        "EPERM",
        Weak("sc('mount', b'x', b'/mnt', b'tmpfs', 0, None); sc('umount2', b'/mnt', 2)"),
    ),
    both(
        "unmount without following links, with the flag for expiry",
        "sc('umount2', b'/dev/pts', 8 | 4)",
        "EPERM",
        Looked,
    ),
    both(
        "read the host's boot parameters behind their mask",
        "read('/proc/cmdline') or refused('nothing there')",
        "nothing there",
        Same,
    ),
    both(
        "read addresses of Linux behind their mask",
        "read('/proc/kallsyms') or refused('nothing there')",
        "nothing there",
        Same,
    ),
    both(
        "read the list of modules behind its mask",
        "read('/proc/modules') or refused('nothing there')",
        "nothing there|ENOENT",
        Weak("os.path.exists('/proc/modules') and read('/proc/modules') or lacking('modules')"),
    ),
    both(
        "list the host's file systems behind their mask",
        "os.listdir('/proc/fs') or refused('nothing there')",
        "nothing there",
        Same,
    ),
    both(
        "open a file system by the new interface",
        "sc('fsopen', b'tmpfs', 0)",
        "EPERM",
        Same,
    ),
    both(
        "mount by the new interface",
        "fs = sc('fsopen', b'tmpfs', 0); sc('fsconfig', fs, 6, None, None, 0)\n\
         m = sc('fsmount', fs, 0, 0); sc('move_mount', m, b'', AT_FDCWD, b'/mnt', 4)",
        "EPERM",
        Same,
    ),
    both(
        "configure a descriptor that is no file system (CVE-2022-0185's call)",
        "sc('fsconfig', os.open('/', os.O_PATH), 1, b'a', b'b' * 4000, 0)",
        "EPERM",
        Looked,
    ),
    both(
        "pick a mounted file system to configure it anew",
        "sc('fspick', AT_FDCWD, b'/', 0)",
        "EPERM",
        Same,
    ),
    both(
        "copy the tree of all mounts",
        "sc('open_tree', AT_FDCWD, b'/', 1 | 0x8000)",
        "EPERM",
        Same,
    ),
    both(
        "open a tree without copying it",
        "sc('open_tree', AT_FDCWD, b'/proc', 0)",
        "EPERM",
        Same,
    ),
    both(
        "move a mount by the new interface",
        "sc('move_mount', AT_FDCWD, b'/dev', AT_FDCWD, b'/mnt', 0)",
        "EPERM",
        Same,
    ),
    both(
        "make /proc/sys writable by mount_setattr",
        "sc('mount_setattr', AT_FDCWD, b'/proc/sys', 0, struct.pack('4Q', 0, 1, 0, 0), 32)",
        "EPERM",
        Weak(
            "sc('mount', b'/proc/sys', b'/proc/sys', None, 4096, None)\n\
             sc('mount_setattr', AT_FDCWD, b'/proc/sys', 0, struct.pack('4Q', 0, 1, 0, 0), 32)",
        ),
    ),
    both(
        "mount_setattr on everything at once",
        "sc('mount_setattr', AT_FDCWD, b'/', 0x8000, struct.pack('4Q', 0, 1, 0, 0), 32)",
        "EPERM",
        Same,
    ),
    both(
        "copy a tree with other attributes (open_tree_attr)",
        "sc('open_tree_attr', AT_FDCWD, b'/', 1, struct.pack('4Q', 0, 1, 0, 0), 32)",
        "EPERM",
        Same,
    ),
    both(
        "change the root to one outside",
        "sc('pivot_root', b'/mnt', b'/mnt')",
        "EPERM",
        Weak(
            "sc('mount', b'x', b'/mnt', b'tmpfs', 0, None)\n\
             os.chdir('/mnt'); sc('pivot_root', b'.', b'.')",
        ),
    ),
    both(
        "list mounts by the new interface",
        "sc('listmount', ctypes.byref((ctypes.c_uint64 * 4)(32, 2**64 - 1, 0, 0)),\n   \
         ctypes.byref((ctypes.c_uint64 * 99)()), 99, 0)",
        "ENOSYS",
        Same,
    ),
    both(
        "write to a directory of all sandboxes (/dev)",
        "os.mkdir('/dev/x')",
        "EROFS",
        Control::Inside("os.mkdir('/dev/shm/x'); os.rmdir('/dev/shm/x')"),
    ),
    both(
        "change a device node of all sandboxes",
        "os.chmod('/dev/null', 0)",
        "EROFS|EPERM",
        Control::Inside("open(scratch('own'), 'w').close(); os.chmod(scratch('own'), 0)"),
    ),
    both(
        "write to the files that stand for /sys",
        "open('/sys/x', 'w')",
        "EROFS|EACCES",
        Control::Inside("open(scratch('other'), 'w').close()"),
    ),
    both(
        "serve a file system that never answers (FUSE)",
        "os.open('/dev/fuse', os.O_RDWR)",
        "ENOENT",
        Weak(
            "os.path.exists('/dev/fuse') or lacking('/dev/fuse')\nos.open('/dev/fuse', os.O_RDWR)",
        ),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mounts_and_masks_hold() {
    besiege("mounts", ATTEMPTS).await;
}
