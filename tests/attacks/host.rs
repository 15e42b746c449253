//! The host's files, processes and devices.

use crate::attempt::{Attempt, Control, both, each};
use crate::siege::besiege;
use Control::{Inside, Looked, Same, Weak};

const ATTEMPTS: &[Attempt] = &[
    both(
        "read a file of the host by its path",
        "read(FACTS['secret_path'])",
        "ENOENT",
        Same,
    ),
    both(
        "climb out of the root by ..",
        "os.chdir('/'); read('../' * 40 + FACTS['secret_path'])",
        "ENOENT",
        Same,
    ),
    each(
        "read it through the root of PID 1",
        "read('/proc/1/root' + FACTS['secret_path'])",
        ("EACCES", "EACCES"),
        Weak("read(f\"/proc/{FACTS['pid']}/root\" + FACTS['secret_path'])"),
    ),
    each(
        "read it through the working directory of PID 1",
        "read('/proc/1/cwd/' + '../' * 40 + FACTS['secret_path'])",
        ("EACCES", "EACCES"),
        Weak("read(f\"/proc/{FACTS['pid']}/cwd/\" + '../' * 40 + FACTS['secret_path'])"),
    ),
    each(
        "leave a chroot inside the sandbox, with a directory kept open outside of it",
        "os.makedirs(scratch('jail'), exist_ok=True)\nkept = os.open('/', os.O_RDONLY)\n\
         os.chroot(scratch('jail')); os.fchdir(kept)\n[os.chdir('..') for _ in range(64)]\n\
         os.chroot('.'); read(FACTS['secret_path'])",
        ("EPERM", "ENOENT"),
        Same,
    ),
    both(
        "open the root of the disk by a file handle (Shocker)",
        "sc('open_by_handle_at', os.open('/', os.O_RDONLY), struct.pack('IiII', 8, 1, 2, 0), 0)",
        "EPERM",
        Looked,
    ),
    both(
        "learn the handle of a file",
        "handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 256)\n\
         sc('name_to_handle_at', AT_FDCWD, b'/etc', ctypes.byref(handle),\n   \
         ctypes.byref(ctypes.c_int()), 0)",
        "ENOSYS",
        Same,
    ),
    both(
        "write a file of the host by its path",
        "write(FACTS['secret_path'], FACTS['secret'])",
        "ENOENT",
        Same,
    ),
    both(
        "open the host's disk",
        "os.open(FACTS['disk'] or (lacking('disk') if PLACE == 'weak' else '/dev/vda'), os.O_RDONLY)",
        "ENOENT",
        Same,
    ),
    both(
        "make a node of the host's disk and open it",
        "about = os.stat(FACTS['disk']).st_rdev if PLACE == 'weak' and FACTS['disk'] else 0xfe00\n\
         path = scratch('disk'); os.path.exists(path) and os.unlink(path)\n\
         os.mknod(path, stat.S_IFBLK | 0o666, about); os.unlink(path)",
        "EPERM",
        Same,
    ),
    both(
        "make a node of the machine's memory",
        "path = scratch('mem'); os.path.exists(path) and os.unlink(path)\n\
         os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 1)); os.unlink(path)",
        "EPERM",
        Same,
    ),
    both(
        "make even a harmless device node",
        "path = scratch('null'); os.path.exists(path) and os.unlink(path)\n\
         os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3)); os.unlink(path)",
        "EPERM",
        Same,
    ),
    both(
        "open the machine's memory",
        "PLACE == 'weak' and not os.path.exists('/dev/mem') and lacking('mem')\n\
         os.open('/dev/mem', os.O_RDONLY)",
        "ENOENT",
        Looked,
    ),
    both(
        "open the host's console",
        "os.open('/dev/console', os.O_RDWR | os.O_NOCTTY)",
        "ENOENT",
        Looked,
    ),
    both(
        "open the log of Linux",
        "os.open('/dev/kmsg', os.O_RDONLY)",
        "ENOENT",
        Same,
    ),
    both(
        "open FUSE",
        "PLACE == 'weak' and not os.path.exists('/dev/fuse') and lacking('fuse')\n\
         os.open('/dev/fuse', os.O_RDWR)",
        "ENOENT",
        Same,
    ),
    both(
        "open the maker of tunnels",
        "PLACE == 'weak' and not os.path.exists('/dev/net/tun') and lacking('tun')\n\
         os.open('/dev/net/tun', os.O_RDWR)",
        "ENOENT",
        Same,
    ),
    both(
        "open the maker of loop devices",
        "PLACE == 'weak' and not os.path.exists('/dev/loop-control') and lacking('loop')\n\
         os.open('/dev/loop-control', os.O_RDWR)",
        "ENOENT",
        Same,
    ),
    both(
        "open KVM",
        "PLACE == 'weak' and not os.path.exists('/dev/kvm') and lacking('kvm')\n\
         os.open('/dev/kvm', os.O_RDWR)",
        "ENOENT",
        Same,
    ),
    both(
        "find any device beyond the listed ones",
        "known = {'full', 'null', 'random', 'tty', 'urandom', 'zero', 'ptmx'}\n\
         nodes = [n for n in os.listdir('/dev') if stat.S_ISBLK(os.stat('/dev/' + n).st_mode)\n   \
         or stat.S_ISCHR(os.stat('/dev/' + n).st_mode) and n not in known]\n\
         nodes or refused('nothing found')",
        "nothing found",
        Weak(
            "nodes = [n for n in os.listdir('/dev') if stat.S_ISCHR(os.lstat('/dev/' + n).st_mode)\n   \
             and n not in {'full', 'null', 'random', 'tty', 'urandom', 'zero', 'ptmx'}]\n\
             nodes or refused('nothing found')",
        ),
    ),
    both(
        "find a process of the host",
        "found = False\nfor pid in filter(str.isdigit, os.listdir('/proc')):\n    \
         try: found |= FACTS['mark'].encode() in read(f'/proc/{pid}/cmdline')\n    \
         except OSError: pass\nfound or refused('nothing found')",
        "nothing found",
        Same,
    ),
    both(
        "read the environment of a process of the host",
        "read(f\"/proc/{FACTS['pid']}/environ\")",
        "ENOENT",
        Same,
    ),
    both(
        "look through the descriptors of the engine's process",
        "os.listdir(f\"/proc/{FACTS['neighbour_pid']}/fd\")",
        "ENOENT",
        Same,
    ),
    both(
        "signal a process of the host",
        "os.kill(FACTS['pid'], 18)",
        "ESRCH",
        Same,
    ),
    both(
        "queue a signal for a process of the host",
        "sc('rt_sigqueueinfo', FACTS['pid'], 18, struct.pack('iii116x', 18, 0, -1))",
        "ESRCH",
        Same,
    ),
    both(
        "signal a thread of the host",
        "sc('tgkill', FACTS['pid'], FACTS['pid'], 18)",
        "ESRCH",
        Same,
    ),
    both(
        "open a process of the host as a descriptor",
        "sc('pidfd_open', FACTS['pid'], 0)",
        "ESRCH",
        Same,
    ),
    both(
        "trace a process of the host",
        "sc('ptrace', 16, FACTS['pid'], 0, 0); os.waitpid(FACTS['pid'], 0x40000000)\n\
         sc('ptrace', 17, FACTS['pid'], 0, 0)",
        "ESRCH",
        Same,
    ),
    both(
        "read the memory of a process of the host",
        "buffer = ctypes.create_string_buffer(8)\n\
         mine = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 8)\n\
         start = int(read(f\"/proc/{FACTS['pid']}/maps\").split(b'-')[0], 16) if PLACE == 'weak' else 4096\n\
         theirs = (ctypes.c_uint64 * 2)(start, 8)\n\
         sc('process_vm_readv', FACTS['pid'], ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)",
        "ESRCH",
        Same,
    ),
    both(
        "change the limits of a process of the host",
        "import resource; resource.prlimit(FACTS['pid'], resource.RLIMIT_CORE)",
        "ESRCH",
        Same,
    ),
    both(
        "change the priority of a process of the host",
        "os.setpriority(os.PRIO_PROCESS, FACTS['pid'], 5)",
        "ESRCH",
        Same,
    ),
    each(
        "end PID 1 of the sandbox from inside",
        "os.kill(1, 9); time.sleep(0.2); os.kill(1, 0)\nrefused('it lives')",
        ("EPERM", "it lives"),
        Inside("pid = os.fork() or time.sleep(9)\nos.kill(pid, 9); os.waitpid(pid, 0)"),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_files_processes_and_devices_are_out_of_reach() {
    besiege("host", ATTEMPTS).await;
}
