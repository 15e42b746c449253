//! The bombs, each with what must come of it. Those that hang have a table of their own, in `hang.rs`.

/// A bomb and what must come of it.
pub(super) struct Bomb {
    pub(super) what: &'static str,
    /// The language of the code, as `soulbox run` names it.
    pub(super) language: &'static str,
    pub(super) code: &'static str,
    pub(super) limits: &'static [&'static str],
    /// The cause that is told; several where the bomb's own end is a race.
    pub(super) causes: &'static [&'static str],
    /// What the output holds.
    pub(super) says: &'static str,
    /// The same, small enough to fit: it ends well, so the test would see that nothing limits.
    pub(super) fits: &'static str,
}

/// All bombs.
pub(super) const BOMBS: &[Bomb] = &[
    Bomb {
        what: "processes",
        language: "bash",
        code: ":(){ :|:& };: 2>/dev/null; sleep 1; (true) || echo no more",
        limits: &["--timeout", "3s"],
        causes: &["exited", "timed_out", "signalled"],
        says: "",
        fits: "for n in 1 2 3; do (exit 0) & done; wait",
    },
    Bomb {
        what: "processes that are counted",
        language: "python",
        code: "import os, time\nn = 0\ntry:\n  while True:\n    if os.fork() == 0: os.closerange(0, 3); time.sleep(60)\n    n += 1\n\
               except OSError as e: print(e.errno, n < 64)",
        limits: &[],
        causes: &["exited"],
        says: "11 True",
        fits: "import os\nfor _ in range(9):\n  if os.fork() == 0: os._exit(0)\n  os.wait()",
    },
    Bomb {
        what: "threads",
        language: "python",
        code: "import threading, time\nn = 0\ntry:\n  while True:\n    \
               threading.Thread(target=time.sleep, args=[60], daemon=True).start(); n += 1\n\
               except RuntimeError: print('no more', n < 64, flush=True)\nimport os; os._exit(0)",
        limits: &[],
        causes: &["exited"],
        says: "no more True",
        fits: "import threading\nt = threading.Thread(target=print); t.start(); t.join()",
    },
    Bomb {
        what: "memory",
        language: "python",
        code: "kept = []\nwhile True: kept.append(bytearray(1 << 20))",
        limits: &[],
        causes: &["out_of_memory"],
        says: "",
        fits: "kept = [bytearray(1 << 20) for _ in range(100)]",
    },
    Bomb {
        what: "memory in many processes at once",
        language: "python",
        code: "import os\nfor _ in range(5): os.fork()\nkept = []\nwhile True: kept.append(bytearray(1 << 20))",
        limits: &[],
        causes: &["out_of_memory"],
        says: "",
        fits: "import os\nfor _ in range(2): os.fork()\nkept = bytearray(1 << 20)",
    },
    Bomb {
        what: "memory in /dev/shm",
        language: "bash",
        code: "head -c 1G /dev/zero > /dev/shm/x",
        limits: &[],
        causes: &["out_of_memory", "disk_full"],
        says: "",
        fits: "head -c 1M /dev/zero > /dev/shm/x",
    },
    Bomb {
        what: "memory in pipes",
        language: "python",
        code: "import fcntl, os, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (5000, 5000))\nn = 0\ntry:\n  while True:\n    \
               r, w = os.pipe(); os.set_blocking(w, False)\n    \
               n += os.write(w, b'x' * 65536)\nexcept OSError as e: print('bounded', n < 400 << 20)",
        limits: &[],
        causes: &["exited", "out_of_memory"],
        says: "",
        fits: "import os\nr, w = os.pipe(); os.write(w, b'x' * 65536)",
    },
    Bomb {
        what: "memory in sockets",
        language: "python",
        code: "import socket\nkept = []\nn = 0\ntry:\n  while True:\n    a, b = socket.socketpair(); kept += [a, b]\n    \
               a.setblocking(False)\n    try:\n      while True: n += a.send(b'x' * 65536)\n    \
               except BlockingIOError: pass\nexcept OSError as e: print('bounded', n < 400 << 20)",
        limits: &[],
        causes: &["exited", "out_of_memory"],
        says: "",
        fits: "import socket\na, b = socket.socketpair(); a.send(b'x')",
    },
    Bomb {
        what: "disk",
        language: "bash",
        code: "head -c 1G /dev/zero > /tmp/x",
        limits: &[],
        causes: &["disk_full"],
        says: "",
        fits: "head -c 8M /dev/zero > /tmp/x",
    },
    Bomb {
        what: "disk in a file without data (fallocate)",
        language: "bash",
        code: "fallocate -l 1G /tmp/x 2>/dev/null || echo refused",
        limits: &[],
        causes: &["exited", "disk_full"],
        says: "refused",
        fits: "fallocate -l 8M /tmp/x",
    },
    Bomb {
        what: "disk of a file that has no name any more",
        language: "python",
        code: "import os\nf = open('/tmp/x', 'wb', 0); os.unlink('/tmp/x')\ntry:\n  while True: f.write(b'x' * (1 << 20))\nexcept OSError as e: print(e.errno)",
        limits: &[],
        causes: &["exited"],
        says: "28",
        fits: "import os\nf = open('/tmp/x', 'wb'); os.unlink('/tmp/x'); f.write(b'x' * (1 << 20))",
    },
    Bomb {
        what: "inodes",
        language: "python",
        code: "import os\nos.mkdir('/tmp/many')\nfor n in range(1000000): os.mknod(f'/tmp/many/{n}')",
        limits: &[],
        causes: &["disk_full", "out_of_memory"],
        says: "",
        fits: "import os\nos.mkdir('/tmp/many')\nfor n in range(100): os.mknod(f'/tmp/many/{n}')",
    },
    Bomb {
        what: "directories, each in the last",
        language: "python",
        code: "import os\nos.chdir('/tmp')\nfor n in range(1000000): os.mkdir('d'); os.chdir('d')",
        limits: &[],
        causes: &["disk_full", "out_of_memory"],
        says: "",
        fits: "import os\nos.chdir('/tmp')\nfor n in range(100): os.mkdir('d'); os.chdir('d')",
    },
    Bomb {
        what: "descriptors",
        language: "python",
        code: "import os, resource\nhard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
               resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\nn = 0\ntry:\n  while True: os.open('/dev/null', 0); n += 1\n\
               except OSError as e: print('bounded', e.errno in (24, 23), n <= hard)",
        limits: &[],
        causes: &["exited", "out_of_memory"],
        says: "",
        fits: "import os\nfor n in range(100): os.open('/dev/null', 0)",
    },
    Bomb {
        what: "descriptors in flight over sockets",
        language: "python",
        code: "import os, socket\nn = 0\ntry:\n  while True:\n    a, b = socket.socketpair()\n    \
               socket.send_fds(a, [b'x'], [a.fileno(), b.fileno()] * 100); a.close(); b.close(); n += 1\n\
               except OSError as e: print('bounded', n)",
        limits: &["--timeout", "3s"],
        causes: &["exited", "timed_out", "out_of_memory"],
        says: "",
        fits: "import socket\na, b = socket.socketpair(); socket.send_fds(a, [b'x'], [0])",
    },
    Bomb {
        what: "output",
        language: "bash",
        code: "yes",
        limits: &["--max-output", "1M"],
        causes: &["too_much_output"],
        says: "",
        fits: "yes | head -c 1000",
    },
    Bomb {
        what: "output on both channels in pieces of one byte",
        language: "python",
        code: "import os\nwhile True: os.write(1, b'x'); os.write(2, b'x')",
        limits: &["--max-output", "20K"],
        causes: &["too_much_output"],
        says: "",
        fits: "import os\nos.write(1, b'x'); os.write(2, b'x')",
    },
    Bomb {
        what: "signals to all",
        language: "python",
        code: "import os, signal\nfor _ in range(3):\n  if os.fork() == 0:\n    while True: pass\n\
               os.kill(-1, signal.SIGKILL)\nprint('alone')",
        limits: &[],
        causes: &["exited", "signalled"],
        says: "alone",
        fits: "import os, signal\nos.kill(os.getpid(), 0)",
    },
    Bomb {
        what: "signals queued without end",
        language: "python",
        code: "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(34, 64))\nimport ctypes\n\
               libc = ctypes.CDLL(None, use_errno=True)\nn = 0\n\
               while libc.sigqueue(os.getpid(), 40, None) == 0:\n  n += 1\n  if n > 3000000: break\nprint('bounded', n < 3000000)",
        limits: &[],
        causes: &["exited", "out_of_memory"],
        says: "",
        fits: "import os\nos.kill(os.getpid(), 0)",
    },
    Bomb {
        what: "processor",
        language: "bash",
        code: "for n in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait",
        limits: &["--timeout", "1s", "--cpu", "0.5"],
        causes: &["timed_out"],
        says: "",
        fits: "for n in 1 2 3; do :; done",
    },
    Bomb {
        what: "locks on files",
        language: "python",
        code: "import fcntl\nf = open('/tmp/x', 'wb')\nn = 0\ntry:\n  while n < 3000000:\n    \
               fcntl.lockf(f, fcntl.LOCK_EX, 1, n * 2); n += 1\nexcept OSError as e: print('bounded')",
        limits: &["--timeout", "4s"],
        causes: &["exited", "timed_out", "out_of_memory"],
        says: "",
        fits: "import fcntl\nfcntl.lockf(open('/tmp/x', 'wb'), fcntl.LOCK_EX, 1, 0)",
    },
    Bomb {
        what: "timers",
        language: "python",
        code: "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nt = ctypes.c_void_p()\nn = 0\n\
               while libc.timer_create(1, None, ctypes.byref(t)) == 0 and n < 3000000: n += 1\nprint('bounded', n < 3000000)",
        limits: &[],
        causes: &["exited", "out_of_memory", "signalled"],
        says: "",
        fits: "import time\ntime.sleep(0)",
    },
    Bomb {
        what: "System V memory that is attached by nobody",
        language: "python",
        code: "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.shmat.restype = ctypes.c_void_p\n\
               while True:\n  i = libc.shmget(0, 16 << 20, 0o1600)\n  if i < 0: print('bounded'); break\n  \
               a = libc.shmat(i, None, 0); ctypes.memset(a, 1, 16 << 20); libc.shmdt(ctypes.c_void_p(a))",
        limits: &[],
        causes: &["exited", "out_of_memory"],
        says: "",
        fits: "import ctypes\nctypes.CDLL(None).shmget(0, 4096, 0o1600)",
    },
    Bomb {
        what: "memory in files without names (memfd)",
        language: "python",
        code: "import os\nkept = []\nwhile True:\n  f = os.memfd_create('x'); kept.append(f); os.write(f, b'x' * (8 << 20))",
        limits: &[],
        causes: &["out_of_memory"],
        says: "",
        fits: "import os\nos.write(os.memfd_create('x'), b'x' * (8 << 20))",
    },
    Bomb {
        what: "bytes in message queues",
        language: "python",
        code: "import ctypes, os\nlibc = ctypes.CDLL(None)\nattr = (ctypes.c_long * 8)(0, 10, 8192)\nn = 0\n\
               while libc.mq_open(b'/q%d' % n, os.O_CREAT | os.O_RDWR, 0o600, attr) >= 0: n += 1\nprint('bounded', 0 < n < 9)",
        limits: &[],
        causes: &["exited"],
        says: "bounded True",
        fits: "import ctypes, os\nassert ctypes.CDLL(None).mq_open(b'/q', os.O_CREAT | os.O_RDWR, 0o600, None) >= 0",
    },
    Bomb {
        what: "watches on files",
        language: "python",
        code: "import ctypes\nlibc = ctypes.CDLL(None)\nn = 0\nwhile libc.inotify_init() >= 0: n += 1\nprint('bounded', n <= 128)",
        limits: &[],
        causes: &["exited"],
        says: "bounded True",
        fits: "import ctypes\nassert ctypes.CDLL(None).inotify_init() >= 0",
    },
    Bomb {
        what: "page tables",
        language: "python",
        code: "import mmap\nplace = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)\n\
               for at in range(0, 1 << 40, 2 << 20): place[at]",
        limits: &[],
        causes: &["out_of_memory"],
        says: "",
        fits: "import mmap\nplace = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)\n\
               for at in range(0, 1 << 30, 2 << 20): place[at]",
    },
    Bomb {
        what: "names that are not there",
        language: "python",
        code: "import os\nn = 0\nwhile True: n += 1; os.path.lexists(f'/tmp/{n:0200}')",
        limits: &["--timeout", "3s", "--memory", "64M"],
        causes: &["timed_out", "out_of_memory"],
        says: "",
        fits: "import os\nassert not os.path.lexists('/tmp/1')",
    },
    Bomb {
        what: "memory in connections over the sandbox's own network",
        language: "python",
        code: TCP,
        limits: &["--open-files", "4096"],
        causes: &["exited", "out_of_memory"],
        says: "",
        fits: "import socket\nserver = socket.create_server(('127.0.0.1', 0)); a = socket.create_connection(server.getsockname()); a.send(b'x')",
    },
    Bomb {
        what: "filters of system calls, which Linux compiles",
        language: "python",
        code: FILTERS,
        limits: &["--pids", "200"],
        causes: &["exited", "out_of_memory"],
        says: "",
        fits: "print(1)",
    },
];

/// Fills connections that nobody reads.
const TCP: &str = "import resource, socket
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
server = socket.create_server(('127.0.0.1', 0), backlog=4096)
kept = []
n = 0
try:
  while n < 1 << 30:
    a = socket.create_connection(server.getsockname(), timeout=1); b = server.accept()[0]; kept += [a, b]
    a.setblocking(False)
    try:
      while True: n += a.send(b'x' * 65536)
    except BlockingIOError: pass
except OSError: pass
print('bounded', n < 400 << 20, n >> 20)";

/// Loads the largest filter that Linux takes, as often as it takes it, in many processes.
const FILTERS: &str = "import ctypes, os, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
allow = struct.pack('HBBI', 0x20, 0, 0, 0) * 4094 + struct.pack('HBBI', 6, 0, 0, 0x7fff0000)
rules = ctypes.create_string_buffer(allow)
program = struct.pack('HxxxxxxQ', 4095, ctypes.addressof(rules))
n = 0
try:
  while True:
    reader, writer = os.pipe()
    if os.fork() == 0:
      told = 0
      while libc.syscall(317, 1, 0, program) == 0: told += 1
      os.write(writer, b'%d' % told); signal.pause()
    os.close(writer)
    n += int(os.read(reader, 9) or 0)
    os.close(reader)
except OSError: pass
print('loaded', n, flush=True)
# Children that keep the output open would let the run last until its time is over.
os.kill(-1, signal.SIGKILL)";
