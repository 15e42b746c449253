//! Rights that one might gain: by set-user-id programs, capabilities of files, terminals and
//! tracing.

use crate::attempt::{Attempt, Control, both, each};
use crate::siege::besiege;
use Control::{Inside, Looked, Same, Weak};

const ATTEMPTS: &[Attempt] = &[
    both(
        "mount by the set-user-id program of the template",
        "import shutil\ncode, told = run(shutil.which('mount'), '-t', 'tmpfs', 'x', '/mnt')\n\
         code == 0 or refused('refused')",
        "refused",
        Same,
    ),
    both(
        "unmount by the set-user-id program of the template",
        "import shutil\n\
         PLACE == 'weak' and sc('mount', b'x', b'/mnt', b'tmpfs', 0, None)\n\
         code, told = run(shutil.which('umount'), '/mnt' if PLACE == 'weak' else '/proc/sys')\n\
         code == 0 or refused('refused')",
        "refused",
        Same,
    ),
    each(
        "gain a capability that is outside the bounding set by sudo",
        "code, told = run('/bin/sh', '-c', 'sudo -n grep CapEff /proc/self/status || grep CapEff /proc/self/status')\n\
         bits = int(told.split()[-1], 16)\nbits & (1 << 21) or refused('not gained')",
        ("not gained", "not gained"),
        Weak(
            "int(run('grep', 'CapEff', '/proc/self/status')[1].split()[-1], 16) & (1 << 21) or refused('')",
        ),
    ),
    each(
        "start a program whose file says CAP_SYS_ADMIN",
        "path = scratch('capable'); import shutil; os.path.exists(path) and os.unlink(path)\n\
         shutil.copy('/bin/true', path)\n\
         os.setxattr(path, 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 21, 0, 0, 0))\n\
         code = run(path)[0]\ncode == 0 or refused('EPERM')",
        ("EPERM", "EPERM"),
        Same,
    ),
    each(
        "start a program whose file says CAP_NET_RAW",
        "path = scratch('raw'); import shutil; os.path.exists(path) and os.unlink(path)\n\
         shutil.copy('/bin/true', path)\n\
         os.setxattr(path, 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 13, 0, 0, 0))\n\
         code = run(path)[0]\ncode == 0 or refused('EPERM')",
        ("EPERM", "EPERM"),
        Same,
    ),
    each(
        "mark a file with capabilities of the host's root (revision 3, root id 0)",
        "path = scratch('v3'); import shutil; os.path.exists(path) and os.unlink(path)\n\
         shutil.copy('/bin/true', path)\n\
         os.setxattr(path, 'security.capability', struct.pack('<IIIIII', 0x03000001, 1 << 21, 0, 0, 0, 70000))\n",
        ("EPERM", "EINVAL|EPERM"),
        Same,
    ),
    both(
        "set a trusted attribute, as overlays believe them",
        "path = scratch('trusted'); open(path, 'w').close()\n\
         os.setxattr(path, 'trusted.overlay.redirect', b'/')",
        "EPERM",
        Same,
    ),
    both(
        "make a file that nobody can remove",
        "fd = os.open(scratch('fixed'), os.O_CREAT | os.O_RDONLY)\n\
         try:\n    fcntl.ioctl(fd, 0x40086602, struct.pack('l', 0x10))\n    \
         fcntl.ioctl(fd, 0x40086602, struct.pack('l', 0))\nexcept OSError as error:\n    \
         (lacking('flags') if PLACE == 'weak' and error.errno in (25, 95) else (_ for _ in ()).throw(error))",
        "EPERM|ENOTTY|EOPNOTSUPP",
        Same,
    ),
    both(
        "raise a capability again that was given up",
        "sc('capset', ctypes.create_string_buffer(struct.pack('Ii', 0x20080522, 0)),\n   \
         ctypes.create_string_buffer(struct.pack('6I', 1 << 21, 1 << 21, 0, 0, 0, 0)))",
        "EPERM",
        Same,
    ),
    both(
        "an ambient capability",
        "sc('prctl', 47, 2, 21, 0, 0)",
        "EPERM",
        Weak(
            "sc('capset', ctypes.create_string_buffer(struct.pack('Ii', 0x20080522, 0)),\n   \
         ctypes.create_string_buffer(struct.pack('6I', 1 << 21, 1 << 21, 1 << 21, 0, 0, 0)))\n\
         sc('prctl', 47, 2, 21, 0, 0)",
        ),
    ),
    each(
        "read the memory of PID 1 (user), whose rights are greater",
        "os.open('/proc/1/mem', os.O_RDWR)",
        ("EACCES", ""),
        Weak("os.open(f\"/proc/{FACTS['pid']}/mem\", os.O_RDWR)"),
    ),
    each(
        "trace PID 1 as user",
        "sc('ptrace', 0x4206, 1, 0, 0)",
        ("EPERM", ""),
        Weak("sc('ptrace', 0x4206, FACTS['pid'], 0, 0)"),
    ),
    each(
        "look through the descriptors of PID 1 as user",
        "os.listdir('/proc/1/fd')",
        ("EACCES", ""),
        Same,
    ),
    each(
        "read the template's shadow file as user",
        "os.stat('/etc/shadow').st_uid == os.getuid() != 0 and refused('one id: all files are its own')\nread('/etc/shadow')",
        ("EACCES", ""),
        Same,
    ),
    each(
        "write over a program of the template as user",
        "os.open('/usr/bin/env', os.O_WRONLY)",
        ("EACCES", ""),
        Looked,
    ),
    both(
        "change a page of the template in the cache (CVE-2022-0847)",
        "fd = os.open('/etc/passwd', os.O_RDONLY); before = os.pread(fd, 16, 0)\nr, w = os.pipe()\n\
         size = fcntl.fcntl(w, 1032); os.write(w, b'x' * size); os.read(r, size)\n\
         os.splice(fd, w, 1, offset_src=0); os.write(w, before[1:3].swapcase())\n\
         os.pread(fd, 16, 0) != before or refused('unchanged')",
        "unchanged",
        Inside(
            "path = scratch('page'); open(path, 'wb').write(b'a' * 16); fd = os.open(path, os.O_RDWR)\n\
             os.pwrite(fd, b'A', 1); os.pread(fd, 16, 0) != b'a' * 16 or refused('unchanged')",
        ),
    ),
    both(
        "write to a read-only page by way of /proc/self/mem and madvise (CVE-2016-5195)",
        "import threading\nfd = os.open('/etc/passwd', os.O_RDONLY); before = os.pread(fd, 16, 0)\n\
         libc.mmap.restype = ctypes.c_void_p\n\
         place = libc.mmap(None, 4096, 1, 2, fd, 0)\nmem = os.open('/proc/self/mem', os.O_RDWR)\n\
         end = time.monotonic() + 0.3\n\
         def advise():\n    while time.monotonic() < end: libc.madvise(ctypes.c_void_p(place), 4096, 4)\n\
         t = threading.Thread(target=advise); t.start()\n\
         while time.monotonic() < end:\n    try: os.pwrite(mem, b'x', place)\n    except OSError: pass\n\
         t.join(); os.pread(fd, 16, 0) != before or refused('unchanged')",
        "unchanged",
        Inside(
            "path = scratch('page'); open(path, 'wb').write(b'a' * 16); fd = os.open(path, os.O_RDWR)\n\
             os.pwrite(fd, b'A', 1); os.pread(fd, 16, 0) != b'a' * 16 or refused('unchanged')",
        ),
    ),
    both(
        "type into a terminal as if a person did (TIOCSTI)",
        "a, b = os.openpty(); fcntl.ioctl(b, 0x540e, 0); fcntl.ioctl(b, 0x5412, b'x')",
        "EPERM",
        Same,
    ),
    both(
        "the same with a bit that Linux throws away",
        "a, b = os.openpty(); fcntl.ioctl(b, 0x540e, 0)\n\
         sc('ioctl', b, 0x1_0000_5412, b'x')",
        "EPERM",
        Same,
    ),
    both(
        "paste into a console (TIOCLINUX)",
        "a, b = os.openpty(); fcntl.ioctl(b, 0x541c, b'\\x02')",
        "EPERM",
        Looked,
    ),
    both(
        "put a driver of Linux behind a terminal (TIOCSETD)",
        "a, b = os.openpty(); fcntl.ioctl(b, 0x5423, struct.pack('i', 0))",
        "EPERM",
        Same,
    ),
    both(
        "take the controlling terminal of whoever started the sandbox",
        "os.open('/dev/tty', os.O_RDWR)",
        "ENXIO",
        Inside("a, b = os.openpty(); fcntl.ioctl(b, 0x540e, 0); os.open('/dev/tty', os.O_RDWR)"),
    ),
    both(
        "find the host behind any of the three standard descriptors",
        "told = [os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)]\n\
         any(t.startswith(('/dev/pts', '/dev/tty', '/run', 'socket')) for t in told) or refused('nothing found')",
        "nothing found",
        Inside(
            "a, b = os.openpty(); os.dup2(b, 2); os.readlink('/proc/self/fd/2').startswith('/dev/pts') or refused('')",
        ),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rights_are_gained() {
    besiege("privileges", ATTEMPTS).await;
}
