//! Copies of a zygote in sandboxes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "support/mod.rs"]
mod support;

use soulbox_model::TeamId;
use soulbox_node::{Birth, Node, Sandbox, Script};
use soulbox_runtime::agent_client::{ProcessEvent, StartRequest};
use support::{Output, Place, shell, spec};

/// Prints what tells a copy from a started program, and what it may do.
const LOOK: &str = r#"
import os, sys
words = open("/proc/self/cmdline").read().split("\0")
print("copy" if any("zygote" in word for word in words) else "started", os.getuid(), os.getcwd())
print(sys.argv[1:], os.environ.get("GREETING"), os.environ.get("HOME"), __name__)
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(status["CapEff"].strip(), status["NoNewPrivs"].strip(), status["PPid"].strip())
# Under 63 a copy tells of its end.
print(sorted(set(os.listdir("/proc/self/fd")) - {"63"}))
print(sys.stdin.read(), file=sys.stderr)
sys.exit(7)
"#;

async fn create(node: &Node) -> Sandbox {
    create_for(node, &TeamId::default_team()).await
}

async fn create_for(node: &Node, team: &TeamId) -> Sandbox {
    let birth = Birth {
        team: Some(team.clone()),
        script: Some(Script::Packages),
        ..Birth::default()
    };
    node.create_as(spec(node), birth).await.unwrap()
}

/// Runs a script until a copy runs it: until the zygote is ready, interpreters start cold.
async fn copy(sandbox: &Sandbox, text: &str) -> String {
    let text = format!("{WHO}{text}");
    for _ in 0..100 {
        let output = script(sandbox, &text).await;
        if let Some(rest) = output.stdout.strip_prefix("copy\n") {
            return rest.to_owned();
        }
        assert!(output.stdout.starts_with("started\n"), "{output:?}");
    }
    panic!("no copy came");
}

/// Tells a copy from a started program.
const WHO: &str = r#"
words = open("/proc/self/cmdline").read()
print("copy" if "zygote" in words else "started")
"#;

/// What must differ between copies, and the hash seed, which cannot.
const DRAW: &str = r#"
import random, ssl, uuid, os, tempfile, multiprocessing
drawn = [random.random(), uuid.uuid1(), uuid.uuid4(), ssl.RAND_bytes(8), os.urandom(8)]
drawn += [tempfile.mktemp(), multiprocessing.current_process().authkey.hex()]
print("|".join(map(str, drawn)), hash("seed"), sep="\n")
"#;

/// The zygotes of this process's engines, by their parents, the spawners.
fn zygotes() -> Vec<u32> {
    let me = std::process::id();
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let zygote = |pid: &u32| {
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.contains("/run/soulbox/zygote.py") && parent(*pid).and_then(parent) == Some(me)
    };
    all.filter(zygote).collect()
}

/// Runs a script as a copy may run it.
async fn script(sandbox: &Sandbox, text: &str) -> Output {
    let quoted = text.replace('\'', "'\\''");
    let write = format!("printf %s '{quoted}' > /home/user/main.py");
    assert_eq!(shell(sandbox, "user", &write).await.code, Some(0));
    sandbox.supplier().unwrap().begin_for_one().await;
    let request = StartRequest {
        cmd: "python3".to_owned(),
        args: vec!["/home/user/main.py".to_owned(), "-x".to_owned()],
        envs: [("GREETING".to_owned(), "hallo".to_owned())].into(),
        forked: true,
        ..StartRequest::default()
    };
    let mut process = sandbox.agent().start(&request).await.unwrap();
    let mut output = Output::default();
    while let Some(event) = process.next().await.unwrap() {
        match event {
            ProcessEvent::Stdout(bytes) => output.stdout += &String::from_utf8_lossy(&bytes),
            ProcessEvent::Stderr(bytes) => output.stderr += &String::from_utf8_lossy(&bytes),
            ProcessEvent::End(end) => output.code = Some(end.exit_code),
            ProcessEvent::Terminal(_) => {}
        }
    }
    output
}

#[tokio::test]
async fn a_script_runs_in_a_copy_as_in_a_program_of_its_own() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = create(&node).await;
    let cold = script(&sandbox, LOOK).await;
    copy(&sandbox, "").await;
    let warm = script(&sandbox, LOOK).await;
    assert_eq!(
        (warm.code, warm.stderr.as_str()),
        (Some(7), "\n"),
        "{warm:?}"
    );
    assert_eq!(
        (cold.code, &cold.stderr),
        (warm.code, &warm.stderr),
        "{cold:?}"
    );
    let rest = |output: &Output| output.stdout.split_once(' ').unwrap().1.to_owned();
    assert_eq!(rest(&cold), rest(&warm));
    assert_eq!(
        warm.stdout,
        "copy 1000 /home/user\n['-x'] hallo /home/user __main__\n0000000000000000 0 1\n['0', '1', '2', '3']\n",
        "{warm:?}"
    );
    sandbox.destroy().await;
    node.stop().await;
}

#[tokio::test]
async fn a_parked_sandbox_has_a_copy_waiting() {
    let place = Place::new();
    let node = place.node(&[("pool.parked", "1")]).await;
    let plain = Script::Plain;
    node.keep_ready(spec(&node), Some(&TeamId::default_team()), Some(plain));
    node.pools_filled().await;
    let sandbox = create(&node).await;
    let output = script(&sandbox, LOOK).await;
    assert!(output.stdout.starts_with("copy"), "{output:?}");
    sandbox.destroy().await;
    node.stop().await;
}

#[tokio::test]
async fn copies_draw_numbers_of_their_own_and_teams_share_no_zygote() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let other: TeamId = "other".parse().unwrap();
    let mut drawn = Vec::new();
    for team in [&TeamId::default_team(), &TeamId::default_team(), &other] {
        let sandbox = create_for(&node, team).await;
        let output = copy(&sandbox, DRAW).await;
        let (numbers, seed) = output.trim().split_once('\n').unwrap();
        let numbers: Vec<_> = numbers.split('|').map(str::to_owned).collect();
        drawn.push((numbers, seed.to_owned()));
        sandbox.destroy().await;
    }
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        let pairs = drawn[first].0.iter().zip(&drawn[second].0);
        for (one, another) in pairs {
            assert_ne!(one, another, "{drawn:?}");
        }
    }
    assert_eq!(drawn[0].1, drawn[1].1, "one zygote has one hash seed");
    assert_ne!(drawn[0].1, drawn[2].1, "two teams have two zygotes");
    node.stop().await;
}

#[tokio::test]
async fn a_zygote_that_is_killed_is_missed_by_nobody() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let before = create(&node).await;
    copy(&before, "").await;
    let [zygote] = zygotes()[..] else {
        panic!("{:?}", zygotes());
    };
    let pid = rustix::process::Pid::from_raw(i32::try_from(zygote).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let output = script(&before, WHO).await;
    assert!(
        matches!(&*output.stdout, "started\n" | "copy\n"),
        "{output:?}"
    );
    // The spawner hears of it in its turn; then there is another one.
    let after = loop {
        let after = create(&node).await;
        if zygotes().iter().any(|pid| *pid != zygote) {
            break after;
        }
        after.destroy().await;
    };
    copy(&after, "").await;
    before.destroy().await;
    after.destroy().await;
    node.stop().await;
    assert!(zygotes().is_empty(), "nothing of it is left");
}

#[tokio::test]
async fn where_packages_were_installed_interpreters_start_anew() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = create(&node).await;
    copy(&sandbox, "").await;
    let install = "mkdir -p ~/.local/lib/python3.11/site-packages";
    assert_eq!(shell(&sandbox, "user", install).await.code, Some(0));
    assert_eq!(script(&sandbox, WHO).await.stdout, "started\n");
    sandbox.destroy().await;
    node.stop().await;
}

#[tokio::test]
async fn what_is_inside_a_copy_is_the_sandboxs() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = create(&node).await;
    let look = r#"
import os, resource
print(open("/proc/self/cgroup").read().count("/\n"), len(open("/proc/self/cgroup").read().splitlines()))
print(os.getgroups(), os.umask(0o22) == 0o22, resource.getrlimit(resource.RLIMIT_CORE))
print(open("/proc/self/oom_score_adj").read().strip(), sorted(os.environ)[:2])
print([p for p in os.listdir("/proc") if p.isdigit() and p not in ("1", str(os.getpid()))])
status = open("/proc/self/status").read()
print("Seccomp:\t2" in status, "Seccomp_filters:\t2" in status)
"#;
    let output = copy(&sandbox, look).await;
    let plain = {
        let command = format!("cat > /tmp/p.py <<'EOF'\n{look}\nEOF\npython3 /tmp/p.py");
        shell(&sandbox, "user", &command).await.stdout
    };
    let lines: Vec<_> = output.lines().collect();
    let started: Vec<_> = plain.lines().collect();
    // Groups of cgroups, other groups, mask and limits are those of any program inside.
    assert_eq!(lines[..2], started[..2], "{output}{plain}");
    assert!(lines[2].starts_with("500 "), "{output}");
    assert_eq!(lines[3], "[]", "{output}");
    assert_eq!(lines[4], "True True", "{output}");
    sandbox.destroy().await;
    node.stop().await;
}
