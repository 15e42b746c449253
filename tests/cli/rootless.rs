//! The program in the hands of an ordinary user: with one id, with a range of them, with and
//! without delegated cgroups.

mod delegated;
mod person;
mod serve;

use person::{Person, RANGE};
use soulbox_tests::{Soulbox, end, processes_with, wait_for};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

#[test]
fn a_user_without_subordinate_ids_is_alone_inside() {
    let person = Person::with_one_id();
    let ended = person
        .bash("id; pwd; cat /proc/self/uid_map", &[])
        .expect_code(0);
    let text = ended.text();
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "uid=1000(user)",
            "gid=1000(user)",
            "groups=1000(user)",
            "/home/user",
            "1000",
            "0",
            "1"
        ]
    );
    assert_eq!(ended.stderr, "");
    person
        .run(["run", "--user", "root", "-c", ""])
        .expect_code(242)
        .expect_stderr(&["no user root inside", "subordinate ids"]);
}

#[test]
fn a_user_with_subordinate_ids_has_all_users_inside() {
    let person = Person::with_a_range();
    let ended = person.bash(
        "id -u; awk '{n += $3} END {print n}' /proc/self/uid_map",
        &[],
    );
    assert_eq!(ended.expect_code(0).text(), "1000\n65536\n");
    let script = "id -u; touch /tmp/a; chown 33:65535 /tmp/a; stat -c %u:%g /tmp/a; \
                  su user -c 'id -un'; rmdir /srv; mkdir /srv; stat -c %U /srv /root /home/user";
    let ended = person.bash(script, &["--user", "root"]).expect_code(0);
    assert_eq!(
        ended.text(),
        "0\n33:65535\nuser\nroot\nroot\nuser\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn files_go_in_and_come_out() {
    for person in [Person::with_one_id(), Person::with_a_range()] {
        person.file("in.txt", "in");
        let arguments = [
            "--file",
            "in.txt:data/in.txt",
            "--output",
            "out.txt:out.txt",
        ];
        person
            .bash("tr in IN < data/in.txt > out.txt", &arguments)
            .expect_code(0);
        let out = person.home().join("out.txt");
        assert_eq!(std::fs::read_to_string(&out).expect("written"), "IN");
        assert_eq!(std::fs::metadata(&out).expect("there").uid(), person.uid);
    }
}

#[test]
fn what_is_mounted_belongs_to_the_default_user() {
    for person in [Person::with_one_id(), Person::with_a_range()] {
        let shared = person.directory("shared");
        person.file("shared/note", "note");
        let script = "cat /in/note; stat -c %U /in/note; echo reply > /in/answer; rm /in/note";
        let ended = person
            .bash(script, &["--mount", "shared:/in"])
            .expect_code(0);
        assert_eq!(ended.text(), "noteuser\n");
        let answer = std::fs::metadata(shared.join("answer")).expect("written");
        assert_eq!((answer.uid(), answer.gid()), (person.uid, person.uid));
        assert!(!shared.join("note").exists());
        let ended = person.bash("echo x > /in/answer", &["--mount", "shared:/in:ro"]);
        ended.expect_code(1).expect_stderr(&["Read-only"]);
    }
}

#[test]
fn root_inside_is_nobody_outside() {
    let person = Person::with_a_range();
    let shared = person.directory("shared");
    let arguments = ["--user", "root", "--mount", "shared:/in"];
    person
        .bash("echo x > /in/of_root", &arguments)
        .expect_code(0);
    let made = std::fs::metadata(shared.join("of_root")).expect("written");
    assert_eq!((made.uid(), made.gid()), (RANGE, RANGE));
}

#[test]
fn what_is_not_enforced_is_told_and_can_be_refused() {
    let person = Person::with_one_id();
    let report = person
        .run(["run", "--json", "-c", ""])
        .expect_code(0)
        .json();
    let told = &report["not_enforced"];
    assert_eq!(told, &serde_json::json!(["memory", "cpu"]));
    person
        .run(["run", "--require-limits", "-c", "print(1)"])
        .expect_code(242)
        .expect_stderr(&["nothing limits memory, cpu here", "soulbox doctor"]);
    let report = person.run(["doctor", "--json"]).expect_code(0).json();
    let checks = report["checks"].as_array().expect("checks");
    let limits = checks.iter().find(|check| check["name"] == "limits");
    assert_eq!(limits.expect("a check")["finding"], "wanting");
}

#[test]
fn root_is_told_as_well_when_a_controller_is_missing() {
    let soulbox = Soulbox::new();
    let without = |arguments: &[&str]| {
        let ours = soulbox.command(arguments);
        #[allow(clippy::disallowed_methods)] // a black-box test starts the program
        let mut command = std::process::Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .args(["umount -R -l /sys/fs/cgroup && exec \"$@\"", "sh"])
            .arg(ours.get_program())
            .args(ours.get_args())
            .envs(
                ours.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        end(command.spawn().expect("starts"))
    };
    let report = without(&["run", "--json", "-c", "print(1)"])
        .expect_code(0)
        .json();
    assert_eq!(
        report["not_enforced"],
        serde_json::json!(["memory", "cpu", "pids"])
    );
    without(&["run", "--require-limits", "-c", ""])
        .expect_code(242)
        .expect_stderr(&["nothing limits memory, cpu, pids here"]);
    let whole = soulbox.run(["run", "--require-limits", "--json", "-c", ""]);
    let told = &whole.expect_code(0).json()["not_enforced"];
    assert_eq!(told, &serde_json::json!([]));
}

#[test]
fn processes_are_limited_without_cgroups() {
    // In Python: bash tries a failed fork again for some seconds. Each child says when it is ready.
    let code = "\
import os, signal
n = 0
ready, tell = os.pipe()
try:
    while n < 200:
        n += 1
        if os.fork() == 0:
            if os.getuid() == 0: os.setuid(2000 + n)
            os.write(tell, b'.')
            signal.pause()
        os.read(ready, 1)
except OSError as error:
    print(error.errno)
print(40 < n < 51, flush=True)
os.kill(-1, signal.SIGKILL)";
    for person in [Person::with_one_id(), Person::with_a_range()] {
        let ended = person
            .run(["run", "--pids", "50", "-c", code])
            .expect_code(0);
        assert_eq!(ended.text(), "11\nTrue\n", "{}", ended.stderr);
    }
    // Whatever users root inside becomes.
    let person = Person::with_a_range();
    let arguments = ["run", "--user", "root", "--pids", "50", "-c", code];
    let ended = person.run(arguments).expect_code(0);
    assert_eq!(ended.text(), "11\nTrue\n", "{}", ended.stderr);
}

#[test]
fn internet_is_refused() {
    let arguments = ["run", "--network", "internet", "-c", ""];
    Person::with_one_id()
        .run(arguments)
        .expect_code(242)
        .expect_stderr(&["only root's engine", "sudo"]);
}

#[test]
fn the_walls_stand_without_root() {
    // Each attempt, and beside it what must work all the same, so that a failure is one.
    let script = "\
        try() { \"$@\" >/dev/null 2>&1 && echo \"succeeded: $*\"; }\n\
        try unshare --user true; try unshare --mount true; try unshare --net true\n\
        try mount -t tmpfs none /tmp; try mount -o remount,rw /usr; try umount /proc/sysrq-trigger\n\
        try mknod /tmp/disk b 254 0; try chroot /tmp; try dd if=/dev/mem count=1\n\
        try sh -c 'echo x > /proc/sys/kernel/core_pattern'; try sh -c 'echo h > /proc/sysrq-trigger'\n\
        try touch /usr/x /sys/x /dev/x /proc/x; try ls /proc/1/root/../old_root\n\
        try cat /proc/kcore; try dmesg; try hostname other; try date -s 2001-01-01\n\
        try chmod 777 /dev /sys; try nsenter --target 1 --mount true\n\
        [ $(ls -d /proc/[0-9]* | wc -l) -lt 20 ] || echo 'succeeded: sees others'\n\
        [ $(grep -c : /proc/net/dev) = 1 ] || echo 'succeeded: has links'\n\
        grep -q 'Seccomp:.*2' /proc/self/status && touch /tmp/x && cat /proc/version >/dev/null && echo end";
    for (person, user) in [
        (Person::with_one_id(), "user"),
        (Person::with_a_range(), "user"),
        (Person::with_a_range(), "root"),
    ] {
        let ended = person.bash(script, &["--user", user]).expect_code(0);
        assert_eq!(ended.text(), "end\n", "as {user}");
    }
}

#[test]
fn a_killed_program_leaves_nothing() {
    let person = Person::with_a_range();
    let arguments = ["run", "-l", "bash", "-c", "echo ready; sleep 1774.1"];
    let mut child = person
        .command_after("true", arguments)
        .spawn()
        .expect("starts");
    wait_for(&mut child, "ready\n");
    child.kill().expect("kill -9");
    child.wait().expect("it ended");
    let end = Instant::now() + Duration::from_secs(20);
    while !processes_with("sleep 1774.1").is_empty() {
        assert!(Instant::now() < end, "the code is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    person.run(["run", "-c", ""]).expect_code(0);
    for directory in ["run/engines", "data/sandboxes"] {
        let entries = std::fs::read_dir(person.home().join(directory)).expect("there");
        assert_eq!(entries.count(), 0, "{directory}");
    }
}

#[test]
fn a_shell_a_template_and_pools_work() {
    let person = Person::with_a_range();
    let ended = person.run(["shell", "--", "id", "-un"]).expect_code(0);
    assert_eq!(ended.text(), "user\n");
    let record = person.run(["template", "inspect", "host", "--json"]);
    assert_eq!(record.expect_code(0).json()["in_use"], false);
    // Prepared, parked and fresh sandboxes.
    let figures = person.run(["bench", "create", "--count", "5", "--json"]);
    assert!(figures.json().is_object());
}
