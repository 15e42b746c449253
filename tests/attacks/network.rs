//! The walls of the network: what nobody in a sandbox reaches, on any form of its address.
//!
//! Servers of the test's own answer on every one of these addresses, in network namespaces that
//! lead nowhere else. The control of each attempt is the same connection from the host, where no
//! wall stands.

use crate::ground::Aftermath;
use crate::heartbeat::Heartbeat;
use crate::report::{Made, Report};
use crate::support::{Place, shell, spec};
use crate::world::{
    ALIAS, PORTS, PUBLIC, REFUSED, UPLINK, World, in_a_world, inside, ip, program, serve_datagrams,
};
use serde_json::Value;
use soulbox_model::{NetworkMode, SandboxSpec};
use soulbox_node::Sandbox;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

const REACH: &str = include_str!("inside/reach.py");

/// Further addresses of the block list, on which the world gets a server.
const MORE: [Ipv4Addr; 8] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(172, 17, 0, 1),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(198, 19, 255, 254),
    Ipv4Addr::new(240, 0, 0, 1),
    Ipv4Addr::new(10, 255, 255, 254),
];

/// Ways to write the metadata service's address, as `inet_aton` reads them.
const FORMS: [&str; 7] = [
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.16689662",
    "169.254.43518",
    "::ffff:169.254.169.254",
];

/// Addresses that are carried in IPv6.
const IPV6: [&str; 8] = [
    "::ffff:10.1.2.3",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "fd00:ec2::254",
    "fe80::1%eth0",
    "fd00::1",
    "2001:db8::1",
];

/// One attempt: a host as it is written, a port, a protocol.
type Target = (String, u16, &'static str);

/// What is tried, and the name of what it is.
fn targets(host_end: Ipv4Addr, neighbour: Ipv4Addr) -> Vec<(&'static str, Target)> {
    let mut all = Vec::new();
    for address in REFUSED.iter().chain(&MORE) {
        all.push(("the block list", (address.to_string(), 80, "tcp")));
        all.push(("the block list", (address.to_string(), 80, "udp")));
    }
    for form in FORMS {
        all.push(("metadata in another form", (form.to_owned(), 80, "tcp")));
    }
    for address in [UPLINK, ALIAS, host_end] {
        all.push(("an address of the host", (address.to_string(), 80, "tcp")));
        all.push(("an address of the host", (address.to_string(), 80, "udp")));
    }
    // No server of the host answers on what is the sandbox's own loopback.
    for own in [
        "127.0.0.1",
        "127.1",
        "0.0.0.0",
        "0",
        "127.255.255.254",
        "0x7f000001",
    ] {
        all.push(("the host's loopback", (own.to_owned(), 80, "tcp")));
    }
    for port in [25, 587] {
        all.push(("mail", (PUBLIC.to_string(), port, "tcp")));
    }
    all.push(("mail", ("3325256714".to_owned(), 25, "tcp")));
    all.push(("a neighbour", (neighbour.to_string(), 7777, "tcp")));
    all.push(("a neighbour", (neighbour.to_string(), 7777, "udp")));
    for address in IPV6 {
        all.push(("IPv6", (address.to_owned(), 80, "tcp")));
    }
    all.push(("broadcast", ("255.255.255.255".to_owned(), 80, "udp")));
    all.push(("multicast", ("224.0.0.1".to_owned(), 80, "udp")));
    all.push(("multicast", ("239.1.2.3".to_owned(), 80, "udp")));
    all
}

/// The words of a target for the script and the report.
fn word((host, port, protocol): &Target) -> String {
    format!("{host} {port} {protocol}")
}

fn arguments<'t>(targets: impl Iterator<Item = &'t Target>) -> String {
    let words: Vec<String> = targets
        .map(|target| format!("'{}'", word(target)))
        .collect();
    words.join(" ")
}

fn parse(lines: &str) -> HashMap<String, String> {
    let told = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("target"), text("outcome"))
    };
    lines.lines().map(told).collect()
}

async fn within(
    sandbox: &Sandbox,
    user: &str,
    targets: &[(&str, Target)],
) -> HashMap<String, String> {
    let path = format!("/tmp/{user}-reach.py");
    let written = sandbox.agent().write_file(&path, Some(user), REACH.into());
    written.await.unwrap();
    let words = arguments(targets.iter().map(|(_, target)| target));
    let output = shell(sandbox, user, &format!("python3 {path} {words}")).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    parse(&output.stdout)
}

/// Puts servers on further addresses.
fn furnish(world: &World) {
    world.out_there(|| {
        for address in MORE {
            ip(&format!("addr add {address}/32 dev lo"));
            serve_datagrams(address, 80);
        }
    });
    for address in [UPLINK, ALIAS] {
        serve_datagrams(address, 80);
    }
}

/// The address of a sandbox's link, from inside.
async fn address_of(sandbox: &Sandbox) -> Ipv4Addr {
    let script = "python3 -c 'import socket; s = socket.socket(2, 2); s.connect((\"198.51.100.10\", 9)); print(s.getsockname()[0])'";
    let output = shell(sandbox, "user", script).await;
    output
        .stdout
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn the_walls_of_the_network_hold() {
    in_a_world(|world| {
        furnish(world);
        let heartbeat = Heartbeat::start();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let (mut report, problems) = runtime.unwrap().block_on(storm(world));
        report_close(&mut report, heartbeat);
        remove_files(world);
        assert!(problems.is_empty(), "network:\n  {}", problems.join("\n  "));
    });
}

fn report_close(report: &mut Report, heartbeat: Heartbeat) {
    let aftermath = Aftermath {
        heartbeat: heartbeat.stop(),
        neighbour: Duration::ZERO,
    };
    std::mem::replace(report, Report::new("network")).close(&aftermath);
}

async fn storm(world: &World) -> (Report, Vec<String>) {
    let mut report = Report::new("network");
    let mut problems = Vec::new();
    let place = Place::new();
    let node = place.node(&[("network.resolvers", "203.0.113.1")]).await;
    let internet = SandboxSpec {
        network: NetworkMode::Internet,
        ..spec(&node)
    };
    let sandbox = node.create(internet.clone()).await.unwrap();
    let neighbour = node.create(internet).await.unwrap();
    let alone = node.create(spec(&node)).await.unwrap();
    let own = address_of(&sandbox).await;
    let host_end = Ipv4Addr::from(u32::from(own) - 1);
    let theirs = address_of(&neighbour).await;
    serve_datagrams(host_end, 80);
    let server = "python3 -c 'import socket, threading\n\
        t = socket.socket(); t.bind((\"0.0.0.0\", 7777)); t.listen()\n\
        u = socket.socket(2, 2); u.bind((\"0.0.0.0\", 7777))\n\
        def serve():\n  while True: u.sendto(b\"here\", u.recvfrom(9)[1])\n\
        threading.Thread(target=serve, daemon=True).start()\n\
        print(\"ready\", flush=True)\n\
        while True: t.accept()[0].sendall(b\"here\")' >/tmp/ready 2>&1 & until grep -q ready /tmp/ready; do sleep 0.01; done";
    shell(&neighbour, "user", server).await;
    let targets = targets(host_end, theirs);
    let controls = control(world, &targets);
    let near = within(&neighbour, "user", &targets).await;
    for (mode, sandbox) in [("internet", &sandbox), ("none", &alone)] {
        for user in ["user", "root"] {
            let outcomes = within(sandbox, user, &targets).await;
            for (what, target) in &targets {
                let outcome = outcomes[&word(target)].clone();
                if outcome == "success" || outcome.starts_with("broken") {
                    problems.push(format!(
                        "{mode}: {user}: {what}: {}: {outcome}",
                        word(target)
                    ));
                }
                report.add(Made {
                    tries: format!("{mode}: {what}: {}", word(target)),
                    user,
                    refusal: outcome,
                    control: seen(what, target, &controls, &near, &mut problems),
                });
            }
        }
    }
    // What is allowed is reached, so that refusals are those of walls.
    let allowed = [
        ("the internet", (PUBLIC.to_string(), 80, "tcp")),
        ("the internet", (PUBLIC.to_string(), 80, "udp")),
    ];
    let reached = within(&sandbox, "user", &allowed).await;
    assert!(
        reached.values().all(|outcome| outcome == "success"),
        "{reached:?}"
    );
    forged(world, &sandbox, own, theirs, &mut report, &mut problems).await;
    for sandbox in [sandbox, neighbour, alone] {
        sandbox.destroy().await;
    }
    node.stop().await;
    (report, problems)
}

/// The same connections from the host, where no wall stands.
fn control(world: &World, targets: &[(&str, Target)]) -> HashMap<String, String> {
    let here = world.here.try_clone().unwrap();
    let words: Vec<String> = targets.iter().map(|(_, target)| word(target)).collect();
    inside(&here, || {
        let mut all = vec!["-c", REACH];
        all.extend(words.iter().map(String::as_str));
        let (well, said) = program("python3", &all);
        assert!(well, "{said}");
        parse(&said)
    })
}

/// How a success of this attempt would have been seen.
fn seen(
    what: &str,
    target: &Target,
    controls: &HashMap<String, String>,
    near: &HashMap<String, String>,
    problems: &mut Vec<String>,
) -> &'static str {
    let word = word(target);
    match what {
        // Nobody answers these forms anywhere here; the same program reaches a public address.
        "IPv6" | "broadcast" | "multicast" if controls[&word] != "success" => {
            "the same program reaches a public address"
        }
        "a neighbour" => match near[&word].as_str() {
            "success" => "the neighbour reaches itself by it",
            other => {
                problems.push(format!("control: {word}: {other}"));
                "none"
            }
        },
        _ => match controls[&word].as_str() {
            "success" => "the host reaches it",
            other => {
                problems.push(format!("control: {word}: {other}"));
                "none"
            }
        },
    }
}

/// Sources that are not the sandbox's own cannot even be taken on.
async fn forged(
    _world: &World,
    sandbox: &Sandbox,
    own: Ipv4Addr,
    neighbour: Ipv4Addr,
    report: &mut Report,
    problems: &mut Vec<String>,
) {
    for user in ["user", "root"] {
        for from in [neighbour, UPLINK, PUBLIC, own] {
            let script = format!(
                "python3 -c 'import socket; socket.socket(2, 2).bind((\"{from}\", 0)); print(\"bound\")' 2>&1 | tail -n1"
            );
            let said = shell(sandbox, user, &script).await.stdout;
            let bound = said.contains("bound");
            if bound != (from == own) {
                problems.push(format!("{user}: the source {from}: {said}"));
            }
            if from != own {
                report.add(Made {
                    tries: format!("internet: the source {from}"),
                    user,
                    refusal: said.trim().to_owned(),
                    control: "its own address is taken on",
                });
            }
        }
    }
}

/// The files of this world in the machine's directory: no engine will come to it again.
fn remove_files(world: &World) {
    use std::os::unix::fs::MetadataExt;
    let here = std::fs::File::from(world.here.try_clone().unwrap());
    let inode = here.metadata().unwrap().ino();
    for kind in ["lock", "users"] {
        let _ = std::fs::remove_file(format!("/run/soulbox/machine/network-{inode}.{kind}"));
    }
    // The ports that every server of the world listens on.
    assert_eq!(PORTS[0], 80);
}
