//! Limits hold, and the host does not suffer.

use soulbox_tests::{Soulbox, end, processes_with, wait_for};

#[test]
fn a_fork_bomb_stays_inside() {
    let soulbox = Soulbox::new();
    let code = ":(){ :|:& };: 2>/dev/null; sleep 0.5; echo over";
    let arguments = [
        "run",
        "--pids",
        "32",
        "--timeout",
        "20s",
        "-l",
        "bash",
        "-c",
        code,
    ];
    let ended = soulbox.run(arguments);
    assert!([0, 1, 137, 254, 244].contains(&ended.code), "{ended:?}");
}

#[test]
fn threads_beyond_the_limit_are_refused() {
    let soulbox = Soulbox::new();
    let code = "\
import threading, time
made = 0
try:
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        made += 1
except RuntimeError:
    pass
print(made < 30)";
    let ended = soulbox
        .run(["run", "--pids", "30", "-c", code])
        .expect_code(0);
    assert_eq!(ended.text(), "True\n");
}

#[test]
fn memory_beyond_the_limit_ends_the_run_and_names_the_process() {
    let soulbox = Soulbox::new();
    let code = "x = bytearray(300 << 20)";
    let ended = soulbox.run(["run", "--memory", "64M", "-c", code]);
    ended.expect_code(245).expect_stderr(&[
        "memory limit of 64 MiB",
        "python3\", which held",
        "--memory",
    ]);
    let ended = soulbox.run(["run", "--memory", "64M", "--json", "-c", code]);
    let told = ended.expect_code(245).json();
    assert_eq!(told["cause"], "out_of_memory", "{told}");
    let kills = &told["memory_kills"];
    assert_eq!(
        (&kills["process"], &kills["limit"]),
        (&"python3".into(), &(64 << 20).into())
    );
    let held = kills["held"].as_u64().expect("a size");
    assert!((32 << 20..=80 << 20).contains(&held), "{told}");
    let peak = told["peak_memory"].as_u64().expect("a size");
    assert!((63 << 20..=64 << 20).contains(&peak), "{told}");
}

#[test]
fn the_name_of_a_killed_process_cannot_deceive() {
    let soulbox = Soulbox::new();
    let code = "\
open('/proc/self/comm', 'w').write(') total-vm:\\x1b[2J')
x = bytearray(300 << 20)";
    let ended = soulbox
        .run(["run", "--memory", "64M", "-c", code])
        .expect_code(245);
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
    // A process that holds 64 MiB, as Linux counts it, and not what the name says.
    let (_, held) = ended.stderr.rsplit_once("which held ").expect("a size");
    let kib: u64 = held
        .split(' ')
        .next()
        .and_then(|kib| kib.parse().ok())
        .expect("KiB");
    assert!((50_000..90_000).contains(&kib), "{:?}", ended.stderr);
}

#[test]
fn memory_beyond_what_is_promised_is_given_while_there_is_some() {
    let soulbox = Soulbox::new();
    let code = "x = bytearray(150 << 20); print(len(x) >> 20)";
    soulbox
        .run(["run", "--memory", "64M", "-c", code])
        .expect_code(245);
    let more = ["run", "--memory", "64M", "--memory-max", "256M", "-c", code];
    assert_eq!(soulbox.run(more).expect_code(0).text(), "150\n");
    let less = ["run", "--memory", "64M", "--memory-max", "32M", "-c", code];
    soulbox
        .run(less)
        .expect_code(240)
        .expect_stderr(&["memory max"]);
}

#[test]
fn shares_of_processors_are_set() {
    let soulbox = Soulbox::new();
    let code = "cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || cat /sys/fs/cgroup/cpu.weight";
    let weight = |weight: &str| {
        let ended = soulbox.run(["run", "--cpu-weight", weight, "-l", "bash", "-c", code]);
        ended
            .expect_code(0)
            .text()
            .trim()
            .parse::<u32>()
            .expect("a number")
    };
    assert!([50, 512].contains(&weight("50")));
    assert!([100, 1024].contains(&weight("100")));
}

#[test]
fn open_files_are_limited_for_root_too() {
    let soulbox = Soulbox::new();
    let code = "\
import resource
files = []
try: resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
except (ValueError, PermissionError): print('not raised')
try:
    while True: files.append(open('/dev/null'))
except OSError as error: print(error.errno, 90 < len(files) < 128)";
    for user in ["user", "root"] {
        let arguments = ["run", "--open-files", "128", "--user", user, "-c", code];
        let ended = soulbox.run(arguments).expect_code(0);
        assert_eq!(ended.text(), "not raised\n24 True\n", "{user}");
    }
}

#[test]
fn nothing_outlives_the_time_limit() {
    let soulbox = Soulbox::new();
    for (mark, code) in [
        ("1773.1", "trap '' TERM INT HUP; sleep 1773.1"),
        ("1773.2", "(setsid sleep 1773.2 &); kill -STOP $$"),
        ("1773.3", "perl -e 'fork while 1' & sleep 1773.3"),
    ] {
        let begin = std::time::Instant::now();
        // A file that is copied out keeps the sandbox for a while; what ran in it is gone.
        let arguments = [
            "run",
            "--timeout",
            "500ms",
            "--output",
            "none:none",
            "-l",
            "bash",
            "-c",
            code,
        ];
        let ended = soulbox.run(arguments);
        assert_eq!(ended.code, 244, "{mark}: {ended:?}");
        assert!(
            begin.elapsed().as_secs() < 10,
            "{mark}: {:?}",
            begin.elapsed()
        );
        assert_eq!(processes_with(mark), Vec::<String>::new());
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // the control runs on the host
fn no_mounts_and_no_namespaces_are_made_inside() {
    let soulbox = Soulbox::new();
    let kinds = [
        "--mount", "--net", "--ipc", "--uts", "--pid", "--cgroup", "--user",
    ];
    let tries: String = kinds
        .iter()
        .map(|kind| format!("unshare {kind} true 2>/dev/null && echo made {kind}\n"))
        .collect();
    let code = format!("{tries}mount -t tmpfs x /mnt 2>/dev/null && echo mounted\necho over");
    for user in ["user", "root"] {
        let ended = soulbox.run(["run", "--user", user, "-l", "bash", "-c", &code]);
        assert_eq!(ended.expect_code(0).text(), "over\n", "{user}");
    }
    // The same words succeed where nothing forbids them.
    let mut control = std::process::Command::new("bash");
    let output = control
        .args([
            "-c",
            &format!(
                "unshare --mount bash -c '{}'",
                "mount -t tmpfs x /mnt && echo mounted"
            ),
        ])
        .output();
    let output = output.expect("bash starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "mounted\n");
}

#[test]
fn disks_are_as_slow_as_they_are_to_be() {
    let v1 = std::path::Path::new("/sys/fs/cgroup/blkio");
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let there = v1.is_dir() || v2.split_whitespace().any(|name| name == "io");
    let soulbox = Soulbox::new();
    let code = "dd if=/data/f of=/dev/null bs=1M iflag=direct 2>&1 | tail -n 1";
    soulbox.file("data/f", vec![1; 4 << 20]);
    let mount = format!("{}:/data:ro", soulbox.home().join("data").display());
    let run = |rate: &str| {
        let begin = std::time::Instant::now();
        let arguments = [
            "run",
            "--io-read",
            rate,
            "--mount",
            &mount,
            "-l",
            "bash",
            "-c",
            code,
        ];
        let ended = soulbox.run(arguments);
        (ended, begin.elapsed().as_secs_f64())
    };
    let (ended, slow) = run("2M");
    if !there {
        ended.expect_stderr(&["limit io"]);
        return;
    }
    ended.expect_code(0);
    let (ended, fast) = run("1G");
    ended.expect_code(0);
    assert!(
        slow > 1.5 && slow > fast + 0.8,
        "4 MiB at 2 MiB/s: {slow} s, at 1 GiB/s: {fast} s"
    );
}

#[test]
fn more_sandboxes_than_there_may_be_are_refused() {
    let soulbox = Soulbox::new();
    let mut held = soulbox.command(["run", "-l", "bash", "-c", "echo ready; cat"]);
    let mut held = held
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    wait_for(&mut held, "ready\n");
    let refused = |name: &str, value: &str, words: &[&str]| {
        let mut command = soulbox.command(["run", "-c", "print(1)"]);
        let child = command.env(name, value).spawn().expect("starts");
        end(child).expect_code(243).expect_stderr(words);
    };
    refused(
        "SOULBOX_NODE_MAX_SANDBOXES",
        "1",
        &["node.max_sandboxes", "there are 1 "],
    );
    refused(
        "SOULBOX_NODE_PROMISED_MEMORY",
        "512M",
        &["node.promised_memory", "1 GiB"],
    );
    drop(held.stdin.take());
    end(held).expect_code(0);
}

#[test]
fn all_sandboxes_together_leave_something_to_the_machine() {
    let soulbox = Soulbox::new();
    soulbox
        .run(["run", "-l", "bash", "-c", "true"])
        .expect_code(0);
    let read = |paths: [&str; 2]| {
        let found = paths
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok());
        found
            .expect("a limit")
            .trim()
            .parse::<u64>()
            .expect("a number")
    };
    let memory = read([
        "/sys/fs/cgroup/memory/soulbox/memory.limit_in_bytes",
        "/sys/fs/cgroup/soulbox/memory.max",
    ]);
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    let total = meminfo
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse::<u64>()
        .expect("a number")
        * 1024;
    assert!(
        memory < total && memory >= total / 4 * 3 - (1 << 20),
        "{memory} of {total}"
    );
    let pids = read([
        "/sys/fs/cgroup/pids/soulbox/pids.max",
        "/sys/fs/cgroup/soulbox/pids.max",
    ]);
    let most = read(["/proc/sys/kernel/pid_max", ""]);
    assert!(pids < most, "{pids} of {most}");
}

#[test]
fn a_full_disk_is_told() {
    let soulbox = Soulbox::new();
    let code = "open('f', 'wb').write(b'x' * (8 << 20))";
    let ended = soulbox.run(["run", "--disk", "2M", "-c", code]);
    ended.expect_code(246).expect_stderr(&["full", "--disk"]);
}

#[test]
fn half_a_cpu_takes_twice_as_long() {
    let soulbox = Soulbox::new();
    let code = "\
import time
wall, cpu = time.monotonic(), time.process_time()
while time.process_time() - cpu < 0.4: pass
print(time.monotonic() - wall > 1.2)";
    let ended = soulbox
        .run(["run", "--cpu", "0.25", "-c", code])
        .expect_code(0);
    assert_eq!(ended.text(), "True\n");
}
