//! An engine and its sandboxes with internet, whole, on a host and an internet of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod support;
#[allow(
    dead_code,
    reason = "what the tests of `runtime` need beside this one's"
)]
#[path = "../../runtime/tests/network/world.rs"]
mod world;

use soulbox_model::{NetworkMode, SandboxSpec};
use std::future::Future;
use std::net::UdpSocket;
use support::{Place, shell, spec};
use world::{ALIAS, PUBLIC, REFUSED, UPLINK, World, in_a_world, nft, program, sysctl};

/// Runs a test on a host of its own; everything that it starts is on that host.
fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce(Place) -> F + Send + 'static) {
    in_a_world(|world| {
        world.out_there(serve_names);
        let before = state();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(test(Place::new()));
        assert_eq!(state(), before, "nothing is left behind");
        remove_files(world);
    });
}

/// A name server that gives `PUBLIC` for every name.
fn serve_names() {
    let socket = UdpSocket::bind("203.0.113.1:53").unwrap();
    std::thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut message) {
            let mut answer = message[..length].to_vec();
            // The question's type is the last but one number of a message without EDNS.
            let address = answer[length - 3] == 1;
            (answer[2], answer[3], answer[7]) = (0x81, 0x80, u8::from(address));
            if address {
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend_from_slice(&PUBLIC.octets());
            }
            let _ = socket.send_to(&answer, from);
        }
    });
}

/// What of the host an engine may change.
fn state() -> String {
    let links = program("ip", &["-br", "link"]).1;
    format!(
        "{}{links}{}",
        nft("list ruleset"),
        sysctl("ipv4/ip_forward")
    )
}

/// The files of this host in the machine's directory: no engine will come to it again.
fn remove_files(world: &World) {
    use std::os::unix::fs::MetadataExt;
    let here = std::fs::File::from(world.here.try_clone().unwrap());
    let inode = here.metadata().unwrap().ino();
    for kind in ["lock", "users"] {
        let _ = std::fs::remove_file(format!("/run/soulbox/machine/network-{inode}.{kind}"));
    }
}

const NAMES: (&str, &str) = ("network.resolvers", "203.0.113.1");

#[test]
fn a_sandbox_reaches_the_internet_by_name_and_nothing_else() {
    on_a_host(|place| async move {
        let node = place.node(&[NAMES]).await;
        let internet = SandboxSpec {
            network: NetworkMode::Internet,
            ..spec(&node)
        };
        let sandbox = node.create(internet.clone()).await.unwrap();
        let neighbour = node.create(internet).await.unwrap();
        let reach = |host: String, port: u16| {
            let script = format!("timeout 4 head -c 4 < /dev/tcp/{host}/{port}");
            let sandbox = &sandbox;
            async move { shell(sandbox, "root", &format!("bash -c '{script}'")).await }
        };
        assert_eq!(reach(PUBLIC.to_string(), 80).await.stdout, "here");
        let named = reach("some.name.example".to_owned(), 80).await;
        assert_eq!(named.stdout, "here", "{named:?}");
        let ends = shell(&neighbour, "root", "hostname -I; cat /proc/net/fib_trie")
            .await
            .stdout;
        let address = ends.lines().flat_map(str::split_whitespace).find(|word| {
            word.parse::<std::net::Ipv4Addr>()
                .is_ok_and(|address| address.is_private() || address.octets()[0] == 198)
        });
        let mut refused = REFUSED.map(|address| address.to_string()).to_vec();
        refused.extend([UPLINK, ALIAS].map(|address| address.to_string()));
        refused.extend(address.map(str::to_owned));
        for host in refused {
            let output = reach(host.clone(), 80).await;
            assert_eq!(output.stdout, "", "{host}");
            assert_ne!(output.code, Some(0), "{host}");
        }
        assert_ne!(reach(PUBLIC.to_string(), 25).await.code, Some(0), "mail");
        sandbox.destroy().await;
        neighbour.destroy().await;
        node.stop().await;
    });
}

#[test]
fn root_inside_has_no_power_over_its_network() {
    on_a_host(|place| async move {
        let node = place.node(&[NAMES]).await;
        let internet = SandboxSpec {
            network: NetworkMode::Internet,
            ..spec(&node)
        };
        let sandbox = node.create(internet).await.unwrap();
        for attempt in [
            "ip addr add 198.18.0.99/32 dev eth0",
            "ip link set eth0 down",
            "ip route add 10.0.0.0/8 dev eth0",
            "ip neigh replace 198.51.100.1 lladdr 02:00:00:00:00:01 dev eth0",
            "nft flush ruleset",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6",
            "unshare -n true",
            "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
            "python3 -c 'import socket; socket.socket(2, socket.SOCK_RAW, 1)'",
        ] {
            let output = shell(&sandbox, "root", attempt).await;
            assert_ne!(output.code, Some(0), "{attempt}: {output:?}");
        }
        // The control: what needs no power works.
        let allowed = "python3 -c 'import socket; s = socket.socket(); s.bind((\"0.0.0.0\", 80))'";
        let output = shell(&sandbox, "user", allowed).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        sandbox.destroy().await;
        node.stop().await;
    });
}

#[test]
fn without_network_nothing_of_the_host_is_touched() {
    on_a_host(|place| async move {
        let before = state();
        let node = place.node(&[]).await;
        let sandbox = node.create(spec(&node)).await.unwrap();
        assert_eq!(state(), before);
        let output = shell(&sandbox, "root", "cat < /dev/tcp/198.51.100.10/80").await;
        assert_ne!(output.code, Some(0));
        sandbox.destroy().await;
        node.stop().await;
    });
}

#[test]
fn rules_that_somebody_flushes_are_back_at_once() {
    on_a_host(|place| async move {
        let node = place.node(&[NAMES]).await;
        let internet = SandboxSpec {
            network: NetworkMode::Internet,
            ..spec(&node)
        };
        let sandbox = node.create(internet).await.unwrap();
        nft("flush ruleset");
        let back = async {
            while !nft("list tables").contains("inet soulbox") {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        let begin = std::time::Instant::now();
        tokio::time::timeout(std::time::Duration::from_secs(4), back)
            .await
            .expect("in time");
        eprintln!("without walls for {:?}", begin.elapsed());
        sandbox.destroy().await;
        node.stop().await;
    });
}
