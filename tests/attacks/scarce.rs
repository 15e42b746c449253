//! What Linux has a bounded number of: one sandbox takes all that it gets, its neighbour must still
//! get one. Linux counts much of it for the owner of a sandbox's user namespace.

use crate::ground::Ground;
use crate::report::{Made, Report};
use soulbox_node::Sandbox;
use soulbox_runtime::agent_client::{ProcessEvent, ProcessStream, StartRequest};
use soulbox_wire::envd::process::Signal;

/// What is scarce, who takes it, and a function that takes one more and tells whether it could.
const SCARCE: &[(&str, &str, &str)] = &[
    (
        "POSIX message queues",
        "root",
        "attr = (ctypes.c_long * 8)(0, 10, 8192)\n\
         def take(n):\n  \
         name = b'/q%d-%d' % (os.getpid(), n)\n  \
         return libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, attr) >= 0 and libc.mq_unlink(name) == 0",
    ),
    ("POSIX timers and signals that wait", "root", TIMER),
    ("POSIX timers of one user", "user", TIMER),
    (
        "inotify instances",
        "root",
        "def take(n): return libc.inotify_init() >= 0",
    ),
    (
        "inotify instances of one user",
        "user",
        "def take(n): return libc.inotify_init() >= 0",
    ),
    (
        "locked memory",
        "root",
        "libc.shmat.restype = ctypes.c_void_p\n\
         def take(n):\n  \
         segment = libc.shmget(0, 1 << 20, 0o1600)\n  \
         libc.shmat(segment, None, 0)\n  \
         locked = libc.shmctl(segment, 11, None) == 0\n  \
         libc.shmctl(segment, 0, None)\n  \
         return locked",
    ),
    (
        "terminals",
        "user",
        "def take(n):\n  try: os.openpty(); return True\n  except OSError: return False",
    ),
    (
        "System V semaphores",
        "user",
        "def take(n): return libc.semget(0, 1, 0o1600) >= 0",
    ),
    (
        "large pipes",
        "user",
        "kept = []\ndef take(n):\n  kept.append(os.pipe())\n  \
         try: fcntl.fcntl(kept[-1][1], 1031, 1 << 20); return True\n  except OSError: return False",
    ),
];

const TIMER: &str = "t = ctypes.c_void_p()\n\
                     def take(n): return libc.timer_create(1, None, ctypes.byref(t)) == 0";

/// How many users root takes things as: what Linux counts for each of them is no bound.
const USERS: u32 = 30;

/// A program that takes until nothing is left, tells how much, and keeps it; or takes one only.
fn taker(take: &str, once: bool) -> String {
    let rest = match once {
        true => "print(take(0))".to_owned(),
        false => format!(
            "def all():\n  n = 0\n  while n < 200000 and take(n): n += 1\n  return n\n\
             told = 0\n\
             for uid in range(3000, 3000 + {USERS}) if os.getuid() == 0 else []:\n  \
             reader, writer = os.pipe()\n  \
             if os.fork() == 0: os.setuid(uid); libc.prctl(1, 9); os.write(writer, b'%d' % all()); time.sleep(999)\n  \
             told += int(os.read(reader, 99))\n\
             print('took', told + all(), flush=True)\ntime.sleep(999)"
        ),
    };
    format!(
        "import ctypes, fcntl, os, time\nlibc = ctypes.CDLL(None, use_errno=True)\n{take}\n{rest}\n"
    )
}

/// Starts it; gives the first line that it prints.
async fn start(sandbox: &Sandbox, code: &str, user: &str) -> (ProcessStream, String) {
    let request = StartRequest {
        cmd: "/usr/bin/python3".to_owned(),
        args: vec!["-c".to_owned(), code.to_owned()],
        user: Some(user.to_owned()),
        cwd: Some("/tmp".to_owned()),
        ..StartRequest::default()
    };
    let mut process = sandbox.agent().start(&request).await.unwrap();
    match process.next().await.unwrap() {
        Some(ProcessEvent::Stdout(bytes)) => {
            let line = String::from_utf8_lossy(&bytes).trim().to_owned();
            (process, line)
        }
        other => panic!("no line: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_sandbox_takes_its_neighbour_still_has() {
    let ground = Ground::new().await;
    let mut report = Report::new("scarce");
    let mut problems = Vec::new();
    for (what, user, take) in SCARCE {
        let (mut taking, took) = start(&ground.attacker, &taker(take, false), user).await;
        let once = taker(take, true);
        let (_, has) = start(&ground.neighbour, &once, user).await;
        // The control: whoever shares what was taken has none left.
        let (_, left) = start(&ground.attacker, &once, user).await;
        if has != "True" {
            problems.push(format!(
                "{user}: {what}: {took}, and the neighbour has none"
            ));
        }
        if left != "False" || took == "took 0" {
            problems.push(format!("{user}: {what}: {took}, and {left} for one more"));
        }
        report.add(Made {
            tries: format!("take all {what}"),
            user,
            refusal: format!("{took}; the neighbour has its own"),
            control: "the sandbox itself has none left",
        });
        let agent = ground.attacker.agent();
        agent.signal(taking.pid(), Signal::Kill).await.unwrap();
        while let Ok(Some(_)) = taking.next().await {}
    }
    let aftermath = ground.leave().await;
    report.close(&aftermath);
    assert!(problems.is_empty(), "scarce:\n  {}", problems.join("\n  "));
}
