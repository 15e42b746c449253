//! Switches of Linux in /proc and /sys, and what they tell. What is written is what is there
//! already, so that a success would change nothing.

use crate::attempt::{Attempt, Control, both, each};
use crate::siege::besiege;
use Control::{Inside, Same, Weak};

/// A switch below /proc/sys: the mount is read-only.
const fn switch(tries: &'static str, program: &'static str) -> Attempt {
    both(tries, program, "EROFS|EACCES|not there", Same)
}

const ATTEMPTS: &[Attempt] = &[
    // `h` prints a help text into the log, where it is allowed.
    both(
        "press the magic key",
        "write('/proc/sysrq-trigger', 'h')",
        "EACCES|EPERM|ENOENT",
        Weak(
            "os.path.exists('/proc/sysrq-trigger') or lacking('sysrq')\n\
             write('/proc/sysrq-trigger', 'h')",
        ),
    ),
    switch(
        "name the program that takes core dumps",
        "rewrite('/proc/sys/kernel/core_pattern')",
    ),
    switch(
        "name the program that loads modules",
        "rewrite('/proc/sys/kernel/modprobe')",
    ),
    switch(
        "name the program for hot-plugging",
        "rewrite('/proc/sys/kernel/hotplug')",
    ),
    switch("allow the magic key", "rewrite('/proc/sys/kernel/sysrq')"),
    switch(
        "change what Linux does when it panics",
        "rewrite('/proc/sys/kernel/panic')",
    ),
    switch(
        "change how memory is promised",
        "rewrite('/proc/sys/vm/overcommit_memory')",
    ),
    switch(
        "change the lowest address to map",
        "rewrite('/proc/sys/vm/mmap_min_addr')",
    ),
    switch(
        "change the randomness of addresses",
        "rewrite('/proc/sys/kernel/randomize_va_space')",
    ),
    switch(
        "let set-user-id programs dump core",
        "rewrite('/proc/sys/fs/suid_dumpable')",
    ),
    switch(
        "take the protection of links away",
        "rewrite('/proc/sys/fs/protected_symlinks')",
    ),
    switch(
        "let pointers of Linux be seen",
        "rewrite('/proc/sys/kernel/kptr_restrict')",
    ),
    switch(
        "let performance counters be used",
        "rewrite('/proc/sys/kernel/perf_event_paranoid')",
    ),
    switch(
        "change how many processes the machine has",
        "rewrite('/proc/sys/kernel/threads-max')",
    ),
    switch(
        "choose the next process id",
        "rewrite('/proc/sys/kernel/ns_last_pid')",
    ),
    switch(
        "change the semaphores of the IPC namespace",
        "rewrite('/proc/sys/kernel/sem')",
    ),
    switch(
        "change the highest process id",
        "rewrite('/proc/sys/kernel/pid_max')",
    ),
    both(
        "change how many user namespaces there may be",
        "rewrite('/proc/sys/user/max_user_namespaces')",
        "EROFS|EACCES",
        Weak(
            "try: rewrite('/proc/sys/user/max_user_namespaces')\n\
             except PermissionError: lacking('the right')",
        ),
    ),
    switch(
        "change the host name by its file",
        "rewrite('/proc/sys/kernel/hostname')",
    ),
    switch(
        "forward packets",
        "rewrite('/proc/sys/net/ipv4/ip_forward')",
    ),
    switch(
        "open low ports",
        "rewrite('/proc/sys/net/ipv4/ip_unprivileged_port_start')",
    ),
    switch(
        "answer pings no more",
        "rewrite('/proc/sys/net/ipv4/icmp_echo_ignore_all')",
    ),
    switch(
        "a switch by way of /proc/self/root",
        "rewrite('/proc/self/root/proc/sys/kernel/core_pattern')",
    ),
    switch(
        "a switch by way of a descriptor of its directory",
        "d = os.open('/proc/sys/kernel', os.O_RDONLY)\n\
         fd = os.open('core_pattern', os.O_RDWR, dir_fd=d); os.write(fd, os.read(fd, 999))",
    ),
    switch(
        "a switch by way of a descriptor opened anew",
        "fd = os.open('/proc/sys/kernel/core_pattern', os.O_RDONLY)\n\
         write(f'/proc/self/fd/{fd}', os.read(fd, 999))",
    ),
    switch(
        "a switch by way of a symbolic link of one's own",
        "path = scratch('link'); os.path.lexists(path) and os.unlink(path)\n\
         os.symlink('/proc/sys/kernel/core_pattern', path); rewrite(path)",
    ),
    both(
        "a switch by way of a hard link of one's own",
        "path = scratch('hard'); os.path.lexists(path) and os.unlink(path)\n\
         os.link('/proc/sys/kernel/core_pattern', path); rewrite(path)",
        "EXDEV|EPERM",
        Weak("rewrite('/proc/sys/kernel/core_pattern')"),
    ),
    both(
        "leave a trigger for pressure in Linux",
        "fd = os.open('/proc/pressure/memory', os.O_RDWR); os.write(fd, b'some 500000 2000000\\0')",
        "EROFS|EACCES",
        Weak(
            "os.path.exists('/proc/pressure/memory') or lacking('pressure')\n\
             fd = os.open('/proc/pressure/memory', os.O_RDWR); os.write(fd, b'some 500000 2000000\\0')",
        ),
    ),
    both(
        "read all memory (kcore)",
        "os.path.exists('/proc/kcore') or PLACE == 'sandbox' and refused('EACCES') or lacking('kcore')\nread('/proc/kcore')",
        "EACCES|EPERM",
        Same,
    ),
    both(
        "read the log of Linux by its file",
        "os.open('/proc/kmsg', os.O_RDONLY | os.O_NONBLOCK)",
        "EACCES|EPERM",
        Same,
    ),
    both(
        "read the states of memory pages",
        "os.open('/proc/kpageflags', os.O_RDONLY)",
        "EACCES|EPERM",
        Same,
    ),
    both(
        "read the slabs of Linux",
        "os.open('/proc/slabinfo', os.O_RDONLY)",
        "EACCES|EPERM",
        Same,
    ),
    both(
        "read the addresses of big areas",
        "os.open('/proc/vmallocinfo', os.O_RDONLY)",
        "EACCES|EPERM",
        Same,
    ),
    both(
        "read the timers of the machine",
        "os.open('/proc/timer_list', os.O_RDONLY)",
        "EACCES|EPERM",
        Same,
    ),
    both(
        "bind an interrupt to a processor",
        "import glob\npath = (glob.glob('/proc/irq/*/smp_affinity') or [PLACE == 'weak' and lacking('irq')])[0]\n\
         os.open(path, os.O_WRONLY)",
        "EACCES|EPERM|EROFS",
        Same,
    ),
    both(
        "change memory types of the processor",
        "os.path.exists('/proc/mtrr') or PLACE == 'weak' and lacking('mtrr') or refused('EACCES')\nos.open('/proc/mtrr', os.O_WRONLY)",
        "EACCES|EPERM|EROFS",
        Same,
    ),
    both(
        "register a program for a format of files",
        "write('/proc/sys/fs/binfmt_misc/register', '')",
        "ENOENT|EROFS|EACCES",
        Weak(
            "sc('mount', b'x', b'/mnt', b'binfmt_misc', 0, None) if 'binfmt_misc' in open('/proc/filesystems').read() else lacking('binfmt')\n\
             os.open('/mnt/register', os.O_WRONLY)",
        ),
    ),
    both(
        "name the program for uevents",
        "os.path.exists('/sys/kernel/uevent_helper') or PLACE == 'weak' and lacking('helper')\nos.open('/sys/kernel/uevent_helper', os.O_WRONLY)",
        "ENOENT",
        Same,
    ),
    both(
        "send the machine to sleep",
        "os.path.exists('/sys/power/state') or PLACE == 'weak' and lacking('power')\nos.open('/sys/power/state', os.O_WRONLY)",
        "ENOENT",
        Same,
    ),
    both(
        "take a processor away",
        "os.path.exists('/sys/devices/system/cpu/cpu1/online') or PLACE == 'weak' and lacking('hot-plug')\n\
         os.open('/sys/devices/system/cpu/cpu1/online', os.O_WRONLY)",
        "ENOENT",
        Same,
    ),
    both(
        "change huge pages for all",
        "os.open('/sys/kernel/mm/transparent_hugepage/enabled', os.O_WRONLY)",
        "EROFS|EACCES",
        Same,
    ),
    both(
        "look into debugfs",
        "os.listdir('/sys/kernel/debug')",
        "ENOENT",
        Same,
    ),
    both(
        "look at the firmware",
        "os.listdir('/sys/firmware')",
        "ENOENT",
        Same,
    ),
    both(
        "list the host's devices",
        "os.listdir('/sys/class/net') or refused('nothing found')",
        "nothing found",
        Same,
    ),
    both(
        "name a program to run when a cgroup is empty (release_agent)",
        "import glob\npaths = glob.glob('/sys/fs/cgroup/release_agent') + glob.glob('/sys/fs/cgroup/*/release_agent')\n\
         if not paths and PLACE == 'weak':\n    \
         sc('mount', b'x', b'/mnt', b'cgroup', 0, b'none,name=soulbox-test')\n    paths = ['/mnt/release_agent']\n\
         paths or refused('nothing found')\nos.open(paths[0], os.O_WRONLY)",
        "nothing found",
        Same,
    ),
    each(
        "have that program run for one's own cgroup (notify_on_release)",
        "import glob\npaths = glob.glob('/sys/fs/cgroup/*/notify_on_release')\n\
         paths or (lacking('v1') if PLACE == 'weak' else refused('EROFS'))\nos.open(paths[0], os.O_WRONLY)",
        ("EACCES|EROFS", "EACCES|EROFS"),
        Same,
    ),
    each(
        "raise one's own memory limit",
        "import glob\npaths = glob.glob('/sys/fs/cgroup/memory/memory.limit_in_bytes') + glob.glob('/sys/fs/cgroup/memory.max')\n\
         paths or (lacking('root has none') if PLACE == 'weak' else refused('EROFS'))\nos.open(paths[0], os.O_WRONLY)",
        ("EACCES|EROFS", "EACCES|EROFS"),
        Same,
    ),
    each(
        "make a cgroup of one's own",
        "import glob\npaths = glob.glob('/sys/fs/cgroup/pids') or ['/sys/fs/cgroup']\n\
         path = paths[0] + f'/soulbox-test-{os.getpid()}'; os.mkdir(path); os.rmdir(path)",
        ("EACCES|EROFS", "EACCES|EROFS"),
        Same,
    ),
    each(
        "leave one's own cgroup",
        "import glob\npaths = glob.glob('/sys/fs/cgroup/*/cgroup.procs') or ['/sys/fs/cgroup/cgroup.procs']\n\
         os.open(paths[0], os.O_WRONLY)",
        ("EACCES|EROFS", "EACCES|EROFS"),
        Same,
    ),
    both(
        "find where on the host one's cgroup lies",
        "any('soulbox' in line.split(':', 2)[2] for line in open('/proc/self/cgroup')) or refused('nothing found')",
        "nothing found",
        Weak("read('/proc/self/cgroup') or refused('nothing found')"),
    ),
    both(
        "find the host's paths in the table of mounts",
        "any(word in open('/proc/self/mountinfo').read() for word in ('/soulbox', FACTS['socket'][:12])) or refused('nothing found')",
        "nothing found",
        Weak("read('/proc/self/mountinfo') or refused('nothing found')"),
    ),
    both(
        "find the names of the host's variables",
        "seen = b''.join(read(f'/proc/{pid}/environ') for pid in (os.getpid(), os.getppid()))\n\
         b'SUDO' in seen or b'SSH' in seen or b'CARGO' in seen or refused('nothing found')",
        "nothing found",
        Inside("read('/proc/self/environ') or refused('nothing found')"),
    ),
    each(
        "make PID 1 the first to go when memory is short",
        "write('/proc/1/oom_score_adj', '1000')",
        ("EACCES", ""),
        Inside("write('/proc/self/oom_score_adj', '1000')"),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_of_linux_stay_as_they_are() {
    besiege("switches", ATTEMPTS).await;
}
