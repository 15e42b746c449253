//! The published escapes of other engines, by their numbers.

use crate::attempt::{Attempt, Control, both, each};
use crate::siege::besiege;
use Control::{Inside, Weak};

/// The way of CVE-2024-21626: any descriptor or directory of any process, and up from there.
const THROUGH: &str = "def reach(place):
    try:
        return bool(read(place + '/' + '../' * 20 + FACTS['secret_path']))
    except OSError:
        return False
places = []
for pid in filter(str.isdigit, os.listdir('/proc')):
    places.append(f'/proc/{pid}/cwd')
    try: places += [f'/proc/{pid}/fd/{fd}' for fd in os.listdir(f'/proc/{pid}/fd')]
    except OSError: pass
any(reach(place) for place in places) or refused('no way')";

const ATTEMPTS: &[Attempt] = &[
    each(
        "CVE-2019-5736: write over the agent's program while it runs",
        "os.open('/proc/1/exe', os.O_WRONLY)",
        ("EACCES", "EACCES"),
        Weak(VICTIM),
    ),
    each(
        "CVE-2019-5736: keep it open for reading, then open it anew for writing",
        "fd = os.open('/proc/1/exe', os.O_RDONLY | os.O_CLOEXEC)\n\
         os.open(f'/proc/self/fd/{fd}', os.O_WRONLY)",
        ("EACCES", "EACCES"),
        Weak(VICTIM),
    ),
    each(
        "CVE-2019-5736: the same by a descriptor without rights (O_PATH)",
        "fd = os.open('/proc/1/exe', os.O_PATH)\nos.open(f'/proc/self/fd/{fd}', os.O_RDWR)",
        ("EACCES", "EACCES"),
        Weak(VICTIM),
    ),
    each(
        "cut the agent's program short",
        "os.truncate('/proc/1/exe', 0)",
        ("EACCES", "EACCES"),
        Weak(VICTIM),
    ),
    each(
        "change the mode of the agent's program",
        "os.chmod('/proc/1/exe', 0o777)",
        ("EACCES", "EACCES"),
        Inside("open(scratch('mode'), 'w').close(); os.chmod(scratch('mode'), 0o777)"),
    ),
    each(
        "map the agent's program for writing",
        "fd = os.open('/proc/1/exe', os.O_RDONLY)\n\
         mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)",
        ("EACCES", "EACCES"),
        Inside(
            "path = scratch('map'); open(path, 'wb').write(b'x' * 4096); fd = os.open(path, os.O_RDWR)\n\
             mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)",
        ),
    ),
    each(
        "take the seals off the agent's program",
        "fd = os.open('/proc/1/exe', os.O_RDONLY)\nseals = fcntl.fcntl(fd, 1034)\n\
         seals & 8 == 0 or refused(f'sealed')",
        ("EACCES", "EACCES"),
        Inside("fd = os.memfd_create('x', 2); fcntl.fcntl(fd, 1034) & 8 == 0 or refused('sealed')"),
    ),
    both(
        "CVE-2024-21626: climb from any descriptor or working directory",
        THROUGH,
        "no way",
        Weak(JAIL),
    ),
    both(
        "CVE-2022-0492: a cgroup namespace, then its release_agent",
        "sc('unshare', NEWCGROUP | NEWUSER | NEWNS)\n\
         sc('mount', b'x', b'/mnt', b'cgroup', 0, b'none,name=soulbox-test')",
        "EPERM",
        Weak("sc('mount', b'x', b'/mnt', b'cgroup', 0, b'none,name=soulbox-test')"),
    ),
    both(
        "CVE-2019-16884: shadow /proc by a mount of one's own",
        "sc('mount', b'/tmp', b'/proc', None, 4096, None)",
        "EPERM",
        Control::Same,
    ),
    each(
        "CVE-2025-31133: put a link where /dev/null is, for the next mask",
        "os.rename('/dev/null', '/dev/x')",
        ("EROFS|EACCES", "EROFS"),
        Inside("open(scratch('a'), 'w').close(); os.rename(scratch('a'), scratch('b'))"),
    ),
    each(
        "CVE-2025-52565: put a link where /dev/console would be",
        "os.symlink('/proc/sys/kernel/core_pattern', '/dev/console')",
        ("EROFS|EACCES", "EROFS"),
        Inside(
            "path = scratch('l'); os.path.lexists(path) and os.unlink(path); os.symlink('/x', path)",
        ),
    ),
    each(
        "CVE-2025-52565: move the terminals' directory away",
        "os.rename('/dev/pts', '/dev/x')",
        ("EROFS|EACCES|EBUSY", "EROFS|EBUSY"),
        Inside(
            "os.makedirs(scratch('p'), exist_ok=True); os.rename(scratch('p'), scratch('q')); os.rmdir(scratch('q'))",
        ),
    ),
    both(
        "CVE-2025-52881: have a label written to another file of /proc",
        "write('/proc/self/attr/exec', 'unconfined')",
        "EINVAL|ENOENT|EACCES|EPERM|EROFS",
        Inside("write('/proc/self/comm', 'other')"),
    ),
    both(
        "move /proc away and put another one there",
        "os.rename('/proc', '/proc.old')",
        "EBUSY|EACCES",
        Inside(
            "os.makedirs(scratch('p'), exist_ok=True); os.rename(scratch('p'), scratch('q')); os.rmdir(scratch('q'))",
        ),
    ),
    both(
        "find a descriptor of the host's in one's own process",
        "extra = [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if int(n) > 2\n    \
         and os.path.lexists(f'/proc/self/fd/{n}')]\n\
         [t for t in extra if not t.startswith(('pipe:', '/proc/'))] or refused('nothing found')",
        "nothing found",
        Inside(
            "fd = os.open('/etc', os.O_RDONLY)\n\
             '/etc' in [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.lexists(f'/proc/self/fd/{n}')] or refused('')",
        ),
    ),
    each(
        "find a descriptor in PID 1 that is more than its socket, pipe and nothing",
        "told = [os.readlink(f'/proc/1/fd/{n}') for n in os.listdir('/proc/1/fd')]\n\
         [t for t in told if not t.startswith(('/dev/null', 'socket:', 'pipe:', 'anon_inode:', '/proc', '/tmp', '/home'))] or refused('nothing found')",
        ("EACCES", "EACCES"),
        Inside("os.readlink('/proc/self/fd/0') or refused('')"),
    ),
];

/// What the attempts do to the agent, done to a program of the test's own whose process has ended.
const VICTIM: &str = "import shutil
path = scratch(f'victim{os.getpid()}'); shutil.copy('/bin/sleep', path)
child = subprocess.Popen([path, '9']); time.sleep(0.1)
fd = os.open(f'/proc/{child.pid}/exe', os.O_PATH)
child.kill(); child.wait()
os.close(os.open(f'/proc/self/fd/{fd}', os.O_WRONLY))";

/// A process in a smaller root that has kept a descriptor of a directory outside.
const JAIL: &str = "jail = scratch('jail21626'); os.makedirs(jail + '/proc', exist_ok=True)
sc('mount', b'proc', (jail + '/proc').encode(), b'proc', 0, None)
os.open('/', os.O_RDONLY)
os.chroot(jail); os.chdir('/')
any(os.path.exists(f'/proc/self/fd/{n}/' + '../' * 20 + FACTS['secret_path'].lstrip('/'))
    for n in os.listdir('/proc/self/fd')) or refused('no way')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_escapes_lead_nowhere() {
    besiege("escapes", ATTEMPTS).await;
}
