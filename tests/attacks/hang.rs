//! Programs that will not end: the time limit ends each, and nothing is left.

use crate::ground::Ground;
use crate::report::{Made, Report};
use crate::run::run;
use soulbox_tests::Soulbox;
use std::time::{Duration, Instant};

/// What will not end, its code, and the cause that is told.
const HANGS: &[(&str, &str, &str)] = &[
    (
        "a process that ignores SIGTERM and everything else",
        "import signal, time\nfor n in range(1, 65):\n  \
        try: signal.signal(n, signal.SIG_IGN)\n  except (OSError, ValueError): pass\nwhile True: time.sleep(9)",
        "timed_out",
    ),
    (
        "a process that blocks all signals",
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n\
        while True: time.sleep(9)",
        "timed_out",
    ),
    (
        "a stopped process",
        "import os\nos.kill(os.getpid(), 19)",
        "timed_out",
    ),
    (
        "a parent in an uninterruptible wait (vfork, state D)",
        "import ctypes, os, time\n\
        # The child shares its parent's memory and never goes on.\n\
        libc = ctypes.CDLL(None)\nlibc.syscall(56, 0x4100 | 17, 0, 0, 0, 0) or time.sleep(99)",
        "timed_out",
    ),
    (
        "a pipe that nobody writes",
        "open('/tmp/p', 'w').close() if 0 else __import__('os').mkfifo('/tmp/p')\nopen('/tmp/p').read()",
        "timed_out",
    ),
    (
        "a pipe that nobody reads",
        "import os\nr, w = os.pipe()\nwhile True: os.write(w, b'x' * 65536)",
        "timed_out",
    ),
    (
        "a lock that is held",
        "import fcntl, os\na = open('/tmp/l', 'w'); b = open('/tmp/l', 'w')\n\
        fcntl.flock(a, 2); fcntl.flock(b, 2)",
        "timed_out",
    ),
    (
        "a semaphore at zero",
        "import multiprocessing\nmultiprocessing.Semaphore(0).acquire()",
        "timed_out",
    ),
    (
        "a connection that nobody accepts",
        "import socket\na = socket.socket(1); a.bind('\\0x'); a.listen(0)\n\
        while True: socket.socket(1).connect('\\0x')",
        "timed_out",
    ),
    (
        "a traced process whose tracer sleeps",
        "import ctypes, os, time\nlibc = ctypes.CDLL(None)\npid = os.fork()\n\
        if pid == 0: libc.ptrace(0, 0, 0, 0); os.kill(os.getpid(), 19)\ntime.sleep(99)",
        "timed_out",
    ),
    (
        "threads that wait for each other",
        "import threading\na = threading.Lock(); a.acquire(); a.acquire()",
        "timed_out",
    ),
    (
        "a process that starts itself anew all the time",
        "import os, sys\nos.execv(sys.executable, [sys.executable, __file__])",
        "timed_out",
    ),
    (
        "a swarm that forks faster than it is killed",
        "import os\nwhile True:\n  try:\n    if os.fork() == 0: pass\n  except OSError: pass",
        "timed_out",
    ),
    // What has ended with children left is not a hang: the run is over and they go.
    (
        "a daemon, forked twice, that ignores everything",
        "import os, signal, time\nif os.fork() == 0:\n  os.setsid()\n  \
        if os.fork(): os._exit(0)\n  for n in (1, 2, 3, 13, 15): signal.signal(n, signal.SIG_IGN)\n  \
        [os.close(n) for n in (0, 1, 2)]\n  time.sleep(999)\nos.wait()",
        "exited",
    ),
    (
        "a daemon that keeps the output open",
        "import os, time\nif os.fork() == 0:\n  os.setsid(); time.sleep(999)",
        "timed_out",
    ),
];

/// The time limit, and what ending may take beyond it on a busy machine: the output is drained
/// for a moment, files are copied out, the sandbox is removed.
const LIMIT: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_will_not_end_is_ended() {
    let ground = Ground::new().await;
    let mut report = Report::new("hangs");
    let mut problems = Vec::new();
    let soulbox = Soulbox::new();
    for (number, (what, code, expected)) in HANGS.iter().enumerate() {
        let user = ["user", "root"][number % 2];
        let begin = Instant::now();
        let limit = format!("{}s", LIMIT.as_secs());
        let flags = ["--pids", "64", "--timeout", &limit];
        let told = run(&soulbox, (user, "python"), &flags, code);
        if told.cause != *expected {
            problems.push(format!("{what}: {}", told.all));
        }
        if begin.elapsed() > LIMIT + GRACE {
            problems.push(format!("{what}: took {:?}", begin.elapsed()));
        }
        report.add(Made {
            tries: (*what).to_owned(),
            user,
            refusal: told.cause,
            // The first row is the detector: were time limits not to end it, it would not return.
            control: "a program that ends by itself is told as such",
        });
    }
    let aftermath = ground.leave().await;
    report.close(&aftermath);
    assert!(problems.is_empty(), "hangs:\n  {}", problems.join("\n  "));
}
