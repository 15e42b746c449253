//! Disks of sandboxes on the host's disk: their limits hold, nothing of them is left, and neither
//! a full pool nor a full host breaks what runs.

use soulbox_tests::{Ended, Soulbox, end, wait_for};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A pool of half a gibibyte.
const POOL: [(&str, &str); 2] = [
    ("SOULBOX_STORAGE_BACKEND", "btrfs"),
    ("SOULBOX_STORAGE_SIZE", "512M"),
];

/// Writes one file until Linux refuses, and tells how much it took and why that was all.
const FILL: &str = "\
import os
file, size = os.open('f', os.O_CREAT | os.O_WRONLY), 0
try:
    while True: size += os.write(file, b'x' * (1 << 18))
except OSError as error: print(size, error.strerror, flush=True)";

fn with_pool(soulbox: &Soulbox, arguments: &[&str]) -> Command {
    let mut command = soulbox.command(arguments);
    command.envs(POOL);
    command
}

fn run(mut command: Command) -> Ended {
    end(command.spawn().expect("the program starts"))
}

/// Whether the pool below `home` is behind a loop device.
fn is_attached(home: &Path) -> bool {
    let file = home.join("data/storage/pool.btrfs");
    let blocks = std::fs::read_dir("/sys/block").expect("/sys/block");
    blocks.flatten().any(|block| {
        let backing = std::fs::read_to_string(block.path().join("loop/backing_file"));
        backing.is_ok_and(|backing| Path::new(backing.trim_end()) == file)
    })
}

/// Waits until the pool is behind no loop device: Linux clears up when the last process is gone.
fn detached(home: &Path) {
    let end = Instant::now() + Duration::from_secs(20);
    while is_attached(home) {
        assert!(Instant::now() < end, "the loop device is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a script as root of the host in a mount namespace of its own, so that what it mounts goes
/// with it.
#[allow(clippy::disallowed_methods)] // a black-box test starts programs
fn apart(soulbox: &Soulbox, script: &str) -> Ended {
    let template = soulbox.command([] as [&str; 0]);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-e", "-c", script, "sh"])
        .arg(soulbox_tests::program())
        .env_clear()
        .envs(
            template
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(soulbox.home())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    run(command)
}

/// What is in the pool below `home` while nobody uses it.
fn left_in_pool(soulbox: &Soulbox) -> String {
    detached(soulbox.home());
    let script =
        "mkdir -p look; mount -o loop,ro data/storage/pool.btrfs look; find look -mindepth 1";
    apart(soulbox, script).expect_code(0).text()
}

#[track_caller]
fn assert_within_two_percent(written: &str, limit: u64) {
    let written: u64 = written.parse().expect("a number");
    let off = written.abs_diff(limit);
    assert!(off * 50 <= limit, "{written} of {limit}");
}

#[test]
fn a_disk_larger_than_the_memory_holds_what_was_asked_for_to_two_percent() {
    let soulbox = Soulbox::new();
    for (size, bytes) in [("16M", 16_u64 << 20), ("200M", 200 << 20)] {
        let arguments = ["run", "--memory", "64M", "--disk", size, "-c", FILL];
        let ended = run(with_pool(&soulbox, &arguments)).expect_code(0);
        let text = ended.text();
        let (written, why) = text.trim().split_once(' ').expect("two words");
        assert_eq!(why, "Disk quota exceeded");
        assert_within_two_percent(written, bytes);
    }
    assert_eq!(left_in_pool(&soulbox), "");
}

#[test]
fn a_full_disk_on_disk_is_the_cause() {
    let soulbox = Soulbox::new();
    let code = "open('f', 'wb').write(b'x' * (40 << 20))";
    let ended = run(with_pool(&soulbox, &["run", "--disk", "20M", "-c", code]));
    ended.expect_code(246).expect_stderr(&["full", "--disk"]);
}

#[test]
fn empty_files_use_the_disk_up_too() {
    let soulbox = Soulbox::new();
    let code = "\
made = 0
try:
    while True:
        open(f'{made}', 'w').close()
        made += 1
except OSError: print(made)";
    let ended = run(with_pool(&soulbox, &["run", "--disk", "4M", "-c", code])).expect_code(0);
    let made: u64 = ended.text().trim().parse().expect("a number");
    // Some 370 bytes each, and less while Linux reserves for what it has not yet written.
    assert!((1000..=14_000).contains(&made), "{made}");
}

#[test]
fn memory_of_the_host_is_used_by_default_and_the_disk_for_more() {
    let soulbox = Soulbox::new();
    soulbox.run(["run", "-c", "print(1)"]).expect_code(0);
    let pool = soulbox.home().join("data/storage/pool.btrfs");
    assert!(!pool.exists());
    let auto = |disk| {
        let mut command = soulbox.command(["run", "--memory", "64M", "--disk", disk, "-c", FILL]);
        command.env("SOULBOX_STORAGE_SIZE", "512M");
        run(command).expect_code(0).text()
    };
    assert!(auto("40M").contains("No space left on device"));
    assert!(!pool.exists());
    assert!(auto("100M").contains("Disk quota exceeded"));
    assert!(pool.exists());
}

#[test]
fn a_killed_engine_leaves_no_device_and_the_next_one_removes_its_files() {
    let soulbox = Soulbox::new();
    let code = "echo data >f; echo ready; sleep 1779.1";
    let mut child = with_pool(&soulbox, &["run", "--disk", "1G", "-l", "bash", "-c", code])
        .spawn()
        .expect("starts");
    wait_for(&mut child, "ready\n");
    assert!(is_attached(soulbox.home()));
    child.kill().expect("kill -9");
    child.wait().expect("it ended");
    assert!(left_in_pool(&soulbox).contains("upper0"));
    // At other moments of its life, those included in which the pool is being opened.
    for moment in 0..8 {
        let arguments = ["run", "-l", "bash", "-c", "echo data >f; sleep 1779.1"];
        let mut child = with_pool(&soulbox, &arguments).spawn().expect("starts");
        std::thread::sleep(Duration::from_millis(moment * 15));
        child.kill().expect("kill -9");
        child.wait().expect("it ended");
    }
    run(with_pool(&soulbox, &["run", "-c", "print(1)"])).expect_code(0);
    assert_eq!(left_in_pool(&soulbox), "");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!mounts.contains(soulbox.home().to_str().expect("UTF-8")));
}

#[test]
fn engines_share_a_pool_and_its_room() {
    let soulbox = Soulbox::new();
    let script = "head -c 300M /dev/zero >f && echo ready && sleep 1779.2";
    let mut first = with_pool(&soulbox, &["run", "-l", "bash", "-c", script])
        .spawn()
        .expect("starts");
    wait_for(&mut first, "ready\n");
    // 512 MiB less what btrfs keeps and what the first one holds.
    let second = run(with_pool(&soulbox, &["run", "--memory", "64M", "-c", FILL])).expect_code(0);
    let text = second.text();
    let (written, why) = text.trim().split_once(' ').expect("two words");
    assert_eq!(why, "Disk quota exceeded");
    let written: u64 = written.parse().expect("a number");
    assert!((100 << 20..150 << 20).contains(&written), "{written}");
    let mut refused = with_pool(&soulbox, &["run", "-c", "print(1)"]);
    refused.env("SOULBOX_STORAGE_RESERVE", "300M");
    run(refused)
        .expect_code(243)
        .expect_stderr(&["the room for all sandboxes is full", "storage.size"]);
    let seen = soulbox.run(["doctor"]).text();
    let line = seen
        .lines()
        .find(|line| line.contains("disk pool"))
        .expect("the pool");
    assert!(line.contains("% of 448 MiB in use"), "{line}");
    first.kill().expect("kill -9");
    first.wait().expect("it ended");
}

#[test]
fn a_host_whose_disk_fills_up_breaks_nothing_in_the_pool() {
    let soulbox = Soulbox::new();
    let script = "\
truncate -s 1G host; mkfs.ext4 -q host; mkdir data; mount -o loop host data; mkfifo go out
export SOULBOX_STORAGE_BACKEND=btrfs SOULBOX_STORAGE_SIZE=600M
\"$1\" run --memory 64M --disk 400M -c \"print(input(), flush=True); input(); $FILL\" <go >out &
exec 3>go 4<out; echo started >&3; head -n 1 <&4
head -c 2G /dev/zero >data/filler 2>/dev/null || df --output=avail data | tail -n 1
echo go on >&3; cat <&4; wait $!";
    let script = format!("FILL='{}'\n{script}", FILL.replace('\'', "\""));
    let text = apart(&soulbox, &script).expect_code(0).text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!((lines[0], lines[1].trim()), ("started", "0"));
    let (written, _) = lines[2].split_once(' ').expect("two words");
    assert_within_two_percent(written, 400 << 20);
}

#[test]
fn a_btrfs_of_the_host_is_used_as_it_is() {
    let soulbox = Soulbox::new();
    let script = "\
truncate -s 1G host; mkfs.btrfs -q host >&2; mkdir data; mount -o loop host data
export SOULBOX_STORAGE_BACKEND=btrfs
\"$1\" run --memory 64M --disk 100M -c \"$FILL\"
test ! -e data/storage/pool.btrfs; find data/storage -mindepth 1";
    let script = format!("FILL='{}'\n{script}", FILL.replace('\'', "\""));
    let text = apart(&soulbox, &script).expect_code(0).text();
    let (written, why) = text.trim().split_once(' ').expect("two words");
    assert_eq!(why, "Disk quota exceeded");
    assert_within_two_percent(written, 100 << 20);
}

#[test]
fn project_quotas_hold_where_linux_keeps_them_and_are_refused_where_it_does_not() {
    let soulbox = Soulbox::new();
    let script = "\
truncate -s 1G host; mkfs.xfs -q host; mkdir data
mount -o loop,prjquota host data 2>/dev/null || { mount -o loop host data; echo without; }
export SOULBOX_STORAGE_BACKEND=project-quota
\"$1\" run --memory 64M --disk 100M -c \"$FILL\"
find data/sandboxes -mindepth 1";
    let script = format!("FILL='{}'\n{script}", FILL.replace('\'', "\""));
    let ended = apart(&soulbox, &script);
    if ended.text().starts_with("without") {
        ended.expect_stderr(&["keeps no project quota", "prjquota"]);
    } else {
        let text = ended.expect_code(0).text();
        let (written, _) = text.trim().split_once(' ').expect("two words");
        assert_within_two_percent(written, 100 << 20);
    }
}
