//! Limits hold, and the host does not suffer.

use soulbox_tests::Soulbox;

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
fn memory_beyond_the_limit_ends_the_run() {
    let soulbox = Soulbox::new();
    let ended = soulbox.run(["run", "--memory", "64M", "-c", "x = bytearray(300 << 20)"]);
    ended
        .expect_code(245)
        .expect_stderr(&["memory limit of 64 MiB", "--memory"]);
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
