//! Parts of Linux that nobody inside needs: keys, programs within Linux, counters, queues, and
//! what concerns the machine as a whole.

use crate::attempt::{Attempt, Control, both};
use crate::siege::besiege;
use Control::{Inside, Looked, Same};

const ATTEMPTS: &[Attempt] = &[
    both(
        "join a session keyring",
        "sc('keyctl', 1, None)",
        "ENOSYS",
        Same,
    ),
    both(
        "read the keyring of the user",
        "sc('keyctl', 0, -4, 1)",
        "ENOSYS",
        Same,
    ),
    both(
        "add a key that outlives the sandbox",
        "sc('add_key', b'user', b'soulbox-test', b'x', 1, -2)",
        "ENOSYS",
        Same,
    ),
    both(
        "have Linux ask the host's helper for a key",
        "sc('request_key', b'user', b'no such key', None, -2)",
        "ENOSYS",
        Looked,
    ),
    both(
        "make a BPF map",
        "sc('bpf', 0, ctypes.byref((ctypes.c_uint32 * 18)(2, 4, 4, 1)), 72)",
        "EPERM",
        Same,
    ),
    both(
        "load a BPF program",
        "code = ctypes.create_string_buffer(struct.pack('<QQ', 0xb7, 0x95))\n\
         text = ctypes.create_string_buffer(b'GPL')\n\
         order = struct.pack('IIQQ', 1, 2, ctypes.addressof(code), ctypes.addressof(text)).ljust(72, b'\\0')\n\
         sc('bpf', 5, ctypes.create_string_buffer(order), 72)",
        "EPERM",
        Same,
    ),
    both(
        "count events of the processor",
        "sc('perf_event_open', ctypes.create_string_buffer(struct.pack('IIQ', 1, 128, 0).ljust(128, b'\\0')), 0, -1, -1, 0)",
        "EPERM",
        Same,
    ),
    both(
        "stop Linux at page faults (userfaultfd)",
        "sc('userfaultfd', 0)",
        "EPERM",
        Same,
    ),
    both(
        "stop only programs at page faults (userfaultfd of users)",
        "sc('userfaultfd', 1)",
        "EPERM",
        Same,
    ),
    both(
        "set up an io_uring",
        "sc('io_uring_setup', 1, ctypes.byref((ctypes.c_uint32 * 30)()))",
        "ENOSYS",
        Same,
    ),
    both(
        "take the machine's contexts of old asynchronous I/O",
        "context = ctypes.c_ulong(0); sc('io_setup', 1, ctypes.byref(context))",
        "ENOSYS",
        Same,
    ),
    both(
        "load a module from memory",
        "sc('init_module', b'\\x7fELF' + b'x' * 60, 64, b'')",
        "EPERM",
        Looked,
    ),
    both(
        "load a module from a file",
        "sc('finit_module', os.open('/bin/true', os.O_RDONLY), b'', 0)",
        "EPERM",
        Looked,
    ),
    both(
        "unload a module",
        "sc('delete_module', b'no_such_module', 2048)",
        "EPERM",
        Looked,
    ),
    both(
        "load another Linux",
        "sc('kexec_load', 0, 99, None, 0)",
        "EPERM",
        Looked,
    ),
    both(
        "load another Linux from a file",
        "sc('kexec_file_load', -1, -1, 0, None, 0xffff)",
        "EPERM",
        Looked,
    ),
    // With a wrong magic number, so that nothing happens where it is looked at.
    both(
        "restart the machine",
        "sc('reboot', 1, 2, 0x1234567, 0)",
        "EPERM",
        Looked,
    ),
    both("gain the processor's ports", "sc('iopl', 3)", "EPERM", Same),
    both("gain one port", "sc('ioperm', 0x80, 1, 1)", "EPERM", Same),
    both(
        "write the machine's accounts elsewhere",
        "sc('acct', b'/no/such/file')",
        "EPERM",
        Looked,
    ),
    both(
        "add swap",
        "sc('swapon', b'/no/such/file', 0)",
        "EPERM",
        Looked,
    ),
    both(
        "take swap away",
        "sc('swapoff', b'/no/such/file')",
        "EPERM",
        Looked,
    ),
    both(
        "change quotas",
        "sc('quotactl', 0x80000800, b'/dev/no-such', 0, None)",
        "EPERM",
        Looked,
    ),
    both(
        "change quotas by descriptor",
        "sc('quotactl_fd', -1, 0x80000800, 0, None)",
        "EPERM",
        Looked,
    ),
    both(
        "set the clock",
        "sc('settimeofday', ctypes.c_void_p(1), None)",
        "EPERM",
        Looked,
    ),
    both(
        "set the clock by the newer call",
        "sc('clock_settime', 0, ctypes.c_void_p(1))",
        "EPERM",
        Looked,
    ),
    both(
        "change the clock's speed",
        "sc('adjtimex', ctypes.create_string_buffer(struct.pack('I', 0x4000 if PLACE == 'sandbox' else 0), 256))",
        "EPERM",
        Same,
    ),
    both(
        "change the clock's speed by the newer call",
        "sc('clock_adjtime', 0, ctypes.create_string_buffer(struct.pack('I', 0x4000 if PLACE == 'sandbox' else 0), 256))",
        "EPERM",
        Same,
    ),
    both(
        "change the host name",
        "sc('sethostname', b'gotcha', 6)",
        "EPERM",
        Same,
    ),
    both(
        "change the domain name",
        "sc('setdomainname', b'gotcha', 6)",
        "EPERM",
        Same,
    ),
    both(
        "read the log of Linux",
        "sc('syslog', 10, None, 0)",
        "EPERM",
        Same,
    ),
    both(
        "hang up the terminal of others",
        "sc('vhangup')",
        "EPERM",
        Same,
    ),
    both(
        "watch whole file systems",
        "sc('fanotify_init', 0, 0)",
        "EPERM",
        Same,
    ),
    both(
        "hide memory from Linux",
        "sc('memfd_secret', 0)",
        "ENOSYS",
        Same,
    ),
    both(
        "change the segment table",
        "sc('modify_ldt', 1, ctypes.create_string_buffer(struct.pack('IIII', 0, 0, 0xfffff, 0x51)), 16)",
        "ENOSYS",
        Same,
    ),
    both(
        "make all memory executable (READ_IMPLIES_EXEC)",
        "sc('personality', 0x400000)",
        "EPERM",
        Same,
    ),
    both(
        "map page zero (MMAP_PAGE_ZERO)",
        "sc('personality', 0x100000)",
        "EPERM",
        Same,
    ),
    both(
        "take a descriptor out of another process",
        "child = os.fork() or time.sleep(9)\nfd = sc('pidfd_open', child, 0)\n\
         try: sc('pidfd_getfd', fd, 0, 0)\nfinally: os.kill(child, 9); os.waitpid(child, 0)",
        "EPERM",
        Same,
    ),
    both(
        "compare objects of Linux, for their addresses",
        "sc('kcmp', os.getpid(), os.getpid(), 0, 0, 0)",
        "ENOSYS",
        Same,
    ),
    both(
        "push the memory of another process out",
        "area = (ctypes.c_uint64 * 2)(0, 0)\n\
         sc('process_madvise', sc('pidfd_open', os.getpid(), 0), ctypes.byref(area), 0, 21, 0)",
        "ENOSYS",
        Same,
    ),
    both(
        "learn what others have in the page cache",
        "sc('cachestat', os.open('/bin/true', os.O_RDONLY), struct.pack('QQ', 0, 4096), ctypes.create_string_buffer(40), 0)",
        "ENOSYS",
        Same,
    ),
    both(
        "move memory between nodes",
        "sc('migrate_pages', 0, 64, ctypes.byref(ctypes.c_ulong(1)), ctypes.byref(ctypes.c_ulong(1)))",
        "ENOSYS",
        Same,
    ),
    both(
        "run before everybody else (real-time)",
        "sc('sched_setscheduler', 0, 1, ctypes.byref(ctypes.c_int(1)))",
        "EPERM",
        Looked,
    ),
    both(
        "be nicer than allowed",
        "os.setpriority(os.PRIO_PROCESS, 0, -20)",
        "EACCES",
        Same,
    ),
    both(
        "read disks before everybody else",
        "sc('ioprio_set', 1, 0, 1 << 13)",
        "EPERM",
        Same,
    ),
    both(
        "be spared when memory is short",
        "write('/proc/self/oom_score_adj', '-1000')",
        "EACCES",
        Inside("write('/proc/self/oom_score_adj', '500')"),
    ),
    both(
        "raise a hard limit",
        "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))",
        "broken: ValueError('not allowed to raise maximum limit')",
        Inside("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))"),
    ),
    both(
        "lock more memory than allowed",
        "area = mmap.mmap(-1, 64 << 20)\n\
         place = ctypes.addressof(ctypes.c_char.from_buffer(area))\n\
         libc.mlock(ctypes.c_void_p(place), 64 << 20) == 0 or refused('not locked')",
        "not locked",
        Same,
    ),
    both(
        "share a core with nobody (core scheduling)",
        "sc('prctl', 62, 1, 0, 0, 0)",
        "EINVAL",
        Looked,
    ),
    both(
        "move the bounds of the program's memory map (PR_SET_MM)",
        "sc('prctl', 35, 14, ctypes.byref(ctypes.c_int()), ctypes.byref(ctypes.c_int()), 0)",
        "EINVAL",
        Looked,
    ),
    both(
        "merge pages with those of neighbours",
        "sc('prctl', 67, 1, 0, 0, 0)",
        "EINVAL",
        Looked,
    ),
    both(
        "make a call of the future",
        "sc(599)",
        "ENOSYS",
        Inside("sc('getpid')"),
    ),
    // Answered with success and not done: a sandbox must not write back everybody's disks.
    both(
        "write back the disks of everybody",
        "before = time.monotonic()\nopen(scratch('dirty'), 'wb').write(b'x' * (1 << 20))\n\
         sc('sync'); refused('answered and not done')",
        "answered and not done",
        Inside(
            "fd = os.open(scratch('own'), os.O_CREAT | os.O_WRONLY); os.write(fd, b'x'); os.fsync(fd)",
        ),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_linux_that_nobody_needs_are_shut() {
    besiege("linux", ATTEMPTS).await;
}
