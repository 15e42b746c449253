//! Other sandboxes: their files, processes, sockets and memory, each of which the neighbour has
//! put in place (`inside/neighbour.py`).

use crate::attempt::{Attempt, Control, both};
use crate::siege::besiege;
use Control::{Inside, Neighbour, Same};

const ATTEMPTS: &[Attempt] = &[
    both(
        "read a file of its user",
        "read('/home/user/mine')",
        "ENOENT",
        Neighbour,
    ),
    both(
        "read a file in /tmp",
        "read('/tmp/mine')",
        "ENOENT",
        Neighbour,
    ),
    both(
        "read a file in /dev/shm",
        "read('/dev/shm/mine')",
        "ENOENT",
        Neighbour,
    ),
    both(
        "attach its System V memory",
        "sc('shmget', 0x5b0, 4096, 0)",
        "ENOENT",
        Neighbour,
    ),
    both(
        "open its System V queue",
        "sc('msgget', 0x5b1, 0)",
        "ENOENT",
        Neighbour,
    ),
    both(
        "open its POSIX queue",
        "sc('mq_open', b'mine', os.O_RDONLY, 0, None)",
        "ENOENT",
        Neighbour,
    ),
    both(
        "reach its server by TCP on the loopback",
        "socket.create_connection(('127.0.0.1', 7777), 3).recv(9)",
        "ECONNREFUSED",
        Neighbour,
    ),
    both(
        "reach its abstract socket",
        "s = socket.socket(1); s.connect('\\0neighbour'); s.recv(9)",
        "ECONNREFUSED",
        Neighbour,
    ),
    both(
        "reach its socket by path",
        "s = socket.socket(1); s.connect('/tmp/mine.sock'); s.recv(9)",
        "ENOENT",
        Neighbour,
    ),
    both(
        "find its processes",
        "found = False\nfor pid in filter(str.isdigit, os.listdir('/proc')):\n    \
         try: found |= b'/tmp/mine.sock' in read(f'/proc/{pid}/cmdline', 9999) and int(pid) != os.getpid()\n    \
         except OSError: pass\nfound or refused('nothing found')",
        "nothing found",
        Neighbour,
    ),
    both(
        "signal its first process",
        "os.kill(FACTS['neighbour_pid'], 0)",
        "ESRCH",
        Same,
    ),
    both(
        "trace its first process",
        "sc('ptrace', 0x4206, FACTS['neighbour_pid'], 0, 0)\n\
         sc('ptrace', 17, FACTS['neighbour_pid'], 0, 0) if 0 else None",
        "ESRCH",
        Same,
    ),
    both(
        "look through its root",
        "os.listdir(f\"/proc/{FACTS['neighbour_pid']}/root/home/user\")",
        "ENOENT",
        Same,
    ),
    both(
        "enter its namespaces by their files",
        "os.open(f\"/proc/{FACTS['neighbour_pid']}/ns/mnt\", os.O_RDONLY)",
        "ENOENT",
        Same,
    ),
    both(
        "speak to its agent",
        "s = socket.socket(1); s.connect(FACTS['engine_socket'])",
        "ENOENT",
        Same,
    ),
    both(
        "become its user",
        "os.setresuid(FACTS['neighbour_uid'], FACTS['neighbour_uid'], FACTS['neighbour_uid'])",
        "EINVAL",
        Same,
    ),
    both(
        "give a file to its user",
        "open(scratch('gift'), 'w').close(); os.chown(scratch('gift'), FACTS['neighbour_uid'], -1)",
        "EINVAL",
        Same,
    ),
    both(
        "speak to one's own agent from inside, by the engine's path",
        "any('agent' in line or FACTS['engine_socket'].rsplit('/', 1)[0] in line\n    \
         for line in open('/proc/net/unix')) or refused('nothing found')",
        "nothing found",
        Inside(
            "s = socket.socket(1); s.bind('\\0own'); '@own' in open('/proc/net/unix').read() or refused('')",
        ),
    ),
    both(
        "see its terminals",
        "[n for n in os.listdir('/dev/pts') if n != 'ptmx'] or refused('nothing found')",
        "nothing found",
        Inside(
            "a, b = os.openpty()\n[n for n in os.listdir('/dev/pts') if n != 'ptmx'] or refused('')",
        ),
    ),
    both(
        "count the machine's terminals to nothing",
        "kept = []\nfor _ in range(5000):\n    \
         try: kept.append(os.openpty())\n    \
         except OSError as error: raise\nrefused('')",
        "ENOSPC|EMFILE",
        Inside("os.openpty()"),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sandboxes_are_out_of_reach() {
    besiege("neighbours", ATTEMPTS).await;
}
