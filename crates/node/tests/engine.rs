//! The engine against this machine's Linux: sandboxes are made, kept apart and given back.

mod support;

use soulbox_model::{ByteSize, Limits, Mount, SandboxSpec, TemplateName};
use soulbox_node::CreateError;
use std::collections::HashSet;
use std::sync::Arc;
use support::{Place, cgroups, entries, shell, spec};

#[tokio::test]
async fn a_sandbox_runs_a_command_and_leaves_nothing() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = node.create(spec(&node)).await.unwrap();
    let (slot, pid) = (sandbox.slot(), sandbox.pid());
    assert!(!cgroups(slot).is_empty());
    let output = shell(&sandbox, "root", "echo hello; echo no >&2; exit 3").await;
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("hello\n", "no\n")
    );
    assert_eq!(output.code, Some(3));
    let usage = sandbox.destroy().await;
    assert!(usage.cpu.as_micros() > 0 && usage.peak_memory.bytes() > 0);
    assert!(cgroups(slot).is_empty());
    assert!(!std::fs::exists(format!("/proc/{pid}")).unwrap());
    node.stop().await;
    drop(node);
    assert_eq!(entries(&place.path("run/engines")), 0);
    assert_eq!(entries(&place.path("data/sandboxes")), 0);
}

#[tokio::test]
async fn inside_is_a_world_of_its_own() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = node.create(spec(&node)).await.unwrap();
    let id = shell(&sandbox, "user", "id -u; id -g; hostname; cat /proc/1/comm").await;
    assert_eq!(id.stdout, "1000\n1000\nsandbox\nsoulbox-agent\n");
    // Every namespace differs from the host's, and the descriptors are the three standard ones.
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let inside = std::fs::read_link(format!("/proc/{}/ns/{kind}", sandbox.pid())).unwrap();
        let here = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(inside, here, "{kind}");
    }
    let environment = shell(&sandbox, "user", "tr '\\0' '\\n' </proc/self/environ")
        .await
        .stdout;
    for line in environment.lines() {
        let name = line.split('=').next().unwrap();
        let known = [
            "PATH",
            "HOME",
            "USER",
            "LOGNAME",
            "SHELL",
            "LANG",
            "E2B_SANDBOX",
        ];
        assert!(known.contains(&name), "{line} came from the host");
    }
    let descriptors = shell(&sandbox, "user", "echo /proc/self/fd/*").await.stdout;
    // The shell opens the directory itself to list it.
    assert!(descriptors.split_whitespace().count() <= 4, "{descriptors}");
    let capabilities = shell(&sandbox, "root", "grep CapBnd /proc/self/status")
        .await
        .stdout;
    assert_eq!(
        capabilities.split_whitespace().last(),
        Some("00000000a00405fb")
    );
    let walls = "mount -t tmpfs x /mnt || unshare -U true || echo x >/proc/sys/kernel/hostname \
                 || mknod /tmp/null c 1 3 || chroot_out=1; true";
    let walls = shell(&sandbox, "root", walls).await;
    assert_eq!(walls.code, Some(0));
    assert!(walls.stderr.lines().count() >= 4, "{}", walls.stderr);
    sandbox.destroy().await;
    node.stop().await;
}

#[tokio::test]
async fn host_ids_of_live_sandboxes_never_meet() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let mut maps = HashSet::new();
    let mut sandboxes = Vec::new();
    for _ in 0..4 {
        let sandbox = node.create(spec(&node)).await.unwrap();
        let map = std::fs::read_to_string(format!("/proc/{}/uid_map", sandbox.pid())).unwrap();
        let numbers: Vec<u32> = map.split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert_eq!((numbers[0], numbers[2]), (0, 65_536));
        assert!(numbers[1] >= 0x7001_0000, "host root is never mapped");
        assert!(maps.insert(numbers[1]));
        sandboxes.push(sandbox);
    }
    for sandbox in sandboxes {
        sandbox.destroy().await;
    }
    node.stop().await;
}

#[tokio::test]
async fn thirty_two_creates_at_once_work() {
    let place = Place::new();
    // That they work is asked for, not how fast: an emulated machine takes its time.
    let node = place.node(&[("spawner.create_timeout", "60s")]).await;
    let creates: Vec<_> = (0..32)
        .map(|n| {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                let sandbox = node.create(spec(&node)).await.unwrap();
                let output = shell(&sandbox, "user", &format!("echo {n}")).await;
                assert_eq!(output.stdout, format!("{n}\n"));
                sandbox
            })
        })
        .collect();
    let mut slots = HashSet::new();
    for create in creates {
        let sandbox = create.await.unwrap();
        assert!(slots.insert(sandbox.slot()));
    }
    // Dropping ends them too.
    node.stop().await;
    for slot in slots {
        assert!(cgroups(slot).is_empty());
    }
}

#[tokio::test]
async fn two_engines_share_the_machine() {
    let (one, two) = (Place::new(), Place::new());
    let (first, second) = (one.node(&[]).await, two.node(&[]).await);
    let a = first.create(spec(&first)).await.unwrap();
    let b = second.create(spec(&second)).await.unwrap();
    assert_ne!(a.slot(), b.slot());
    first.stop().await;
    assert_eq!(
        shell(&b, "user", "echo still here").await.stdout,
        "still here\n"
    );
    second.stop().await;
}

#[tokio::test]
async fn pools_hand_out_what_they_hold_and_refill() {
    let place = Place::new();
    for pool in ["pool.slots", "pool.prepared", "pool.parked"] {
        let node = place.node(&[("pool.slots", "0"), (pool, "2")]).await;
        node.keep_ready(spec(&node), None, None);
        node.pools_filled().await;
        let mut pids = HashSet::new();
        for _ in 0..5 {
            let sandbox = node.create(spec(&node)).await.unwrap();
            assert!(pids.insert(sandbox.pid()), "a used one came back");
            assert_eq!(shell(&sandbox, "user", "id -un").await.stdout, "user\n");
            sandbox.destroy().await;
        }
        node.stop().await;
    }
}

#[tokio::test]
async fn a_parked_sandbox_takes_other_limits() {
    let place = Place::new();
    let node = place.node(&[("pool.parked", "1")]).await;
    node.keep_ready(spec(&node), None, None);
    node.pools_filled().await;
    let mut asked = spec(&node);
    asked.limits.pids = 20;
    let sandbox = node.create(asked).await.unwrap();
    let bomb = "for n in $(seq 100); do sleep 5 & done 2>&1 | grep -c -i -e fork -e resource";
    let bomb = shell(&sandbox, "user", bomb).await;
    assert_ne!(bomb.stdout, "0\n", "{bomb:?}");
    sandbox.destroy().await;
    node.stop().await;
}

/// Linux asks the cgroup last, when it has copied the program's memory under locks that neighbours wait for.
#[tokio::test]
async fn a_fork_bomb_is_refused_before_the_cgroup_is_asked() {
    let place = Place::new();
    let node = place.node(&[("pool.parked", "1")]).await;
    node.keep_ready(spec(&node), None, None);
    // One that was ready, and one that has more processes than that.
    for pids in [1024, 1100] {
        node.pools_filled().await;
        let mut asked = spec(&node);
        asked.limits.pids = pids;
        let sandbox = node.create(asked).await.unwrap();
        let bomb = "perl -e 'for (1 .. 2000) { my $f = fork; $n += !defined $f; $f // next; \
                    $f or close STDOUT and close STDERR and sleep 60 and exit } print $n'";
        let refused: u32 = shell(&sandbox, "user", bomb).await.stdout.parse().unwrap();
        let most = 2000 - pids;
        assert!((most..most + pids / 32 + 9).contains(&refused), "{refused}");
        for group in cgroups(sandbox.slot()) {
            let Ok(events) = std::fs::read_to_string(group.join("pids.events")) else {
                continue;
            };
            assert!(events.contains("max 0"), "{events}");
        }
        sandbox.destroy().await;
    }
    node.stop().await;
}

#[tokio::test]
async fn memory_and_disk_have_their_ends() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let limits = Limits {
        memory: ByteSize::mib(64),
        memory_max: ByteSize::mib(64),
        disk: ByteSize::mib(8),
        ..node.settings().sandbox.limits()
    };
    let sandbox = node
        .create(SandboxSpec {
            limits,
            ..spec(&node)
        })
        .await
        .unwrap();
    let full = shell(
        &sandbox,
        "user",
        "head -c 20M /dev/zero >/tmp/x; wc -c </tmp/x",
    )
    .await;
    assert!(full.stderr.contains("No space left on device"), "{full:?}");
    assert!(full.stdout.trim().parse::<u64>().unwrap() <= 8 << 20);
    assert_eq!(sandbox.usage().await.unwrap().oom_kills, 0);
    let hog = shell(
        &sandbox,
        "user",
        "head -c 200M /dev/zero | tail -c 200M | wc -c",
    )
    .await;
    assert_ne!(hog.stdout, "209715200\n");
    assert!(sandbox.usage().await.unwrap().oom_kills > 0);
    // The agent outlives what it runs.
    assert_eq!(
        shell(&sandbox, "user", "echo alive").await.stdout,
        "alive\n"
    );
    sandbox.destroy().await;
    node.stop().await;
}

#[tokio::test]
async fn mounts_keep_owners_and_refuse_writing() {
    let place = Place::new();
    let host = place.path("host");
    std::fs::create_dir_all(host.join("below")).unwrap();
    std::fs::write(host.join("mine"), "from the host").unwrap();
    std::os::unix::fs::chown(&host, Some(1000), Some(1000)).unwrap();
    std::os::unix::fs::chown(host.join("mine"), Some(1000), Some(1000)).unwrap();
    let file = place.path("file");
    std::fs::write(&file, "a file").unwrap();
    let mount = |host: &std::path::Path, guest: &str, read_only| Mount {
        host: host.to_owned(),
        guest: guest.into(),
        read_only,
    };
    let node = place.node(&[]).await;
    let mut asked = spec(&node);
    asked.mounts = vec![
        mount(&file, "/data/deep/file", true),
        mount(&host, "/data/deep/rw", false),
        mount(&host, "/data/ro", true),
    ];
    let sandbox = node.create(asked).await.unwrap();
    let script = "cat /data/deep/file /data/ro/mine; stat -c %U /data/ro/mine; \
                  echo new >/data/deep/rw/new; echo bad >/data/ro/bad; echo bad >/data/deep/file";
    let output = shell(&sandbox, "user", script).await;
    assert_eq!(output.stdout, "a filefrom the hostuser\n");
    assert_eq!(
        output.stderr.matches("Read-only file system").count(),
        2,
        "{}",
        output.stderr
    );
    let stat = std::fs::metadata(host.join("new")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&stat), 1000);
    assert!(!host.join("bad").exists());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a file");
    let root = shell(
        &sandbox,
        "root",
        "mount -o remount,rw /data/ro; echo bad >/data/ro/bad",
    )
    .await;
    assert_ne!(root.code, Some(0));
    assert!(!host.join("bad").exists());
    sandbox.destroy().await;
    node.stop().await;
}

#[tokio::test]
async fn what_cannot_be_made_says_why_and_leaves_nothing() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let mut missing = spec(&node);
    missing.template = "nowhere".parse::<TemplateName>().unwrap();
    let error = node.create(missing).await.err().unwrap();
    assert!(error.to_string().contains("nowhere"), "{error}");
    let mut small = spec(&node);
    small.limits.memory = ByteSize::mib(1);
    assert!(matches!(
        node.create(small).await,
        Err(CreateError::Limit(_))
    ));
    let mut nothing = spec(&node);
    nothing.mounts = vec![Mount {
        host: "/no/such/thing".into(),
        guest: "/x".into(),
        read_only: false,
    }];
    assert!(matches!(
        node.create(nothing).await,
        Err(CreateError::Mount(_))
    ));
    // Fails in the child, half-way: the place is below a file.
    let mut below = spec(&node);
    below.mounts = vec![Mount {
        host: place.path("data"),
        guest: "/etc/passwd/x".into(),
        read_only: false,
    }];
    let error = node.create(below).await.err().unwrap();
    assert!(error.to_string().contains("/etc/passwd/x"), "{error}");
    let alive = node.create(spec(&node)).await.unwrap();
    assert_eq!(shell(&alive, "user", "echo ok").await.stdout, "ok\n");
    node.stop().await;
    drop(alive);
    drop(node);
    assert_eq!(entries(&place.path("run/engines")), 0);
}

#[tokio::test]
async fn the_end_of_a_sandbox_is_told() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = node.create(spec(&node)).await.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(sandbox.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    sandbox.ended().await;
    assert!(sandbox.usage().await.is_err());
    node.stop().await;
}
