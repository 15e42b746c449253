"""Runs attempts, each in a process of its own, and prints how each ended, one JSON line each.

    python3 driver.py PLACE < LIST

LIST is {"facts": {...}, "attempts": [{"tries": ..., "program": ...}]}. An attempt that comes to the
end of its program has succeeded. What else it can say: the name of the error that Linux gave, the
name of the signal that ended it, or words of its own by `refused` (a wall held) and `lacking` (this
Linux has nothing to attack).

PLACE is `sandbox`, or `weak`: the host, as root, in mount, name and IPC namespaces of its own, so
that a program which succeeds there changes nothing for others.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# Linux's numbers for x86_64.
NR = dict(
    ioctl=16, semget=64, kill=62, ptrace=101, syslog=103, modify_ldt=154, pivot_root=155, adjtimex=159,
    acct=163, settimeofday=164, mount=165, umount2=166, swapon=167, swapoff=168, reboot=169,
    sethostname=170, setdomainname=171, iopl=172, ioperm=173, init_module=175, delete_module=176,
    quotactl=179, vhangup=153, personality=135, clone=56, getpid=39, shmget=29, msgget=68,
    sched_setscheduler=144, io_setup=206, lookup_dcookie=212, clock_settime=227, mbind=237,
    set_mempolicy=238, mq_open=240, kexec_load=246, add_key=248, request_key=249, keyctl=250,
    ioprio_set=251, migrate_pages=256, unshare=272, move_pages=279, perf_event_open=298,
    fanotify_init=300, name_to_handle_at=303, open_by_handle_at=304, clock_adjtime=305, setns=308,
    process_vm_readv=310, process_vm_writev=311, kcmp=312, finit_module=313, seccomp=317,
    memfd_create=319, kexec_file_load=320, bpf=321, userfaultfd=323, copy_file_range=326,
    pidfd_send_signal=424, io_uring_setup=425, open_tree=428, move_mount=429, fsopen=430,
    fsconfig=431, fsmount=432, fspick=433, pidfd_open=434, clone3=435, openat2=437,
    pidfd_getfd=438, process_madvise=440, mount_setattr=442, quotactl_fd=443, memfd_secret=447,
    process_mrelease=448, cachestat=451, statmount=457, listmount=458, open_tree_attr=467,
    capset=126, prctl=157, mknod=133, add_watch=254, sync=162, memfd=319, execveat=322,
    rt_sigqueueinfo=129, tgkill=234, sched_setattr=314, set_mempolicy_home_node=450,
)

NEWTIME, NEWNS, NEWCGROUP, NEWUTS = 0x80, 0x2_0000, 0x200_0000, 0x400_0000
NEWIPC, NEWUSER, NEWPID, NEWNET = 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000
AT_FDCWD = -100


class Refused(Exception):
    pass


class Lacking(Exception):
    pass


def refused(why):
    raise Refused(why)


def lacking(what):
    raise Lacking(what)


def sc(name, *arguments):
    """A system call by its name or number; raises Linux's error."""
    number = NR[name] if isinstance(name, str) else name

    def fit(value):
        if value is None:
            return ctypes.c_void_p(0)
        if isinstance(value, int):
            return ctypes.c_long(value if value < 1 << 63 else value - (1 << 64))
        if isinstance(value, (bytes, bytearray)):
            return ctypes.c_char_p(bytes(value))
        return value

    result = libc.syscall(ctypes.c_long(number), *[fit(value) for value in arguments])
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(name))
    return result


def read(path, most=1 << 16):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def write(path, data):
    """Writes to what exists; never makes a file."""
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, data if isinstance(data, bytes) else data.encode())
    finally:
        os.close(fd)


def rewrite(path):
    """Writes what is there already, which changes nothing where it is allowed."""
    if not os.path.exists(path):
        refused("not there") if PLACE == "sandbox" else lacking(path)
    return write(path, read(path))


def run(*words, **more):
    """Runs a program to its end: (exit code, what it printed)."""
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=8, **more
    )
    return done.returncode, done.stdout.decode(errors="replace")


def forked(act):
    """What `act` gives in a child of this process, as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = str(act())
        except OSError as error:
            told = errno.errorcode.get(error.errno, str(error))
        except BaseException as error:
            told = "broken: " + repr(error)
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    told = b""
    while piece := os.read(reader, 4096):
        told += piece
    os.close(reader)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return told.decode()


def machine_code(code, low=False):
    """Makes a function of machine code, below 4 GiB if wanted."""
    flags = 0x22 | (0x40 if low else 0)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    place = libc.mmap(None, 65536, 7, flags, -1, 0)
    code = code(place) if callable(code) else code
    ctypes.memmove(place, code, len(code))
    return ctypes.CFUNCTYPE(ctypes.c_long)(place), place


def scratch(name):
    os.makedirs(FACTS["scratch"], exist_ok=True)
    return os.path.join(FACTS["scratch"], name)


def weaken():
    """Into namespaces of its own on the host, so that nothing spreads."""
    sc("unshare", NEWNS | NEWUTS | NEWIPC)
    sc("mount", b"none", b"/", None, 1 << 18 | 1 << 14, None)


def outcome_of(program):
    names = dict(globals())
    try:
        exec(compile(program, "attempt", "exec"), names)
        return "success"
    except Refused as why:
        return str(why)
    except Lacking as what:
        return f"lacking {what}"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except BaseException as error:
        return f"broken: {error!r}"


def attempt(program):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        if PLACE == "weak":
            weaken()
        outcome = outcome_of(program)
        os.write(writer, outcome.encode())
        os._exit(0)
    os.close(writer)
    told = b""
    if select.select([reader], [], [], 15)[0]:
        told = os.read(reader, 4096)
    else:
        told = b"no end"
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    status = os.waitpid(child, 0)[1]
    os.close(reader)
    if not told and os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return told.decode(errors="replace") or "broken: said nothing"


PLACE = sys.argv[1]
ORDER = json.load(sys.stdin)
FACTS = ORDER["facts"]
for one in ORDER["attempts"]:
    print(json.dumps({"tries": one["tries"], "outcome": attempt(one["program"])}), flush=True)
