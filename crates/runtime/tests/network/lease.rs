//! Putting the walls up and taking them down: nothing of the host's is lost.

use super::world::*;
use soulbox_runtime::native::network::firewall::watch::Watch;
use soulbox_runtime::native::network::firewall::{self, FirewallError, Lease, Removal};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Everything of the host that taking a lease may change.
fn state() -> String {
    let rules = nft("list ruleset");
    let switches = [
        "ip_forward",
        "conf/all/accept_redirects",
        "conf/uplink/forwarding",
    ]
    .map(|name| sysctl(&format!("ipv4/{name}")));
    let links = program("ip", &["-br", "link"]).1;
    format!("{rules}\n{switches:?}\n{links}")
}

fn files(world: &World) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(world.run_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_last_one_leaves_the_host_as_it_was_found() {
    in_a_world(|world| {
        set_sysctl("ipv4/conf/all/accept_redirects", "0");
        let before = state();
        let one = Lease::take(world.run_dir(), &world.rules()).unwrap();
        let two = Lease::take(world.run_dir(), &world.rules()).unwrap();
        assert_eq!(sysctl("ipv4/ip_forward"), "1");
        assert_eq!(one.give_back().unwrap(), Removal::InUse);
        assert!(nft("list tables").contains("inet soulbox"));
        assert_eq!(two.give_back().unwrap(), Removal::Removed);
        assert_eq!(state(), before);
        let names = files(world);
        let [lock, users] = &names[..] else {
            panic!("{names:?}")
        };
        assert!(
            lock.ends_with(".lock") && users.ends_with(".users"),
            "{names:?}"
        );
    });
}

#[test]
fn walls_stay_as_long_as_a_link_is_there() {
    in_a_world(|world| {
        let before = state();
        let walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        let made = world.sandbox(1);
        assert_eq!(walls.give_back().unwrap(), Removal::LinksLeft);
        inside(&made.namespace, || assert!(reach(UPLINK, 80).is_err()));
        assert_eq!(
            firewall::sweep(world.run_dir()).unwrap(),
            Removal::LinksLeft
        );
        // The namespace's last descriptors: its link goes by itself.
        drop(made);
        assert_eq!(firewall::sweep(world.run_dir()).unwrap(), Removal::Removed);
        assert_eq!(state(), before);
    });
}

#[test]
fn forwarding_that_was_on_stays_on() {
    in_a_world(|world| {
        set_sysctl("ipv4/ip_forward", "1");
        let before = state();
        let walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        assert_eq!(walls.give_back().unwrap(), Removal::Removed);
        assert_eq!(state(), before);
    });
}

#[test]
fn engines_with_other_rules_are_told_and_harm_nothing() {
    in_a_world(|world| {
        let one = Lease::take(world.run_dir(), &world.rules()).unwrap();
        let mut other = world.rules();
        other.allow = vec!["10.0.0.0/8".parse().unwrap()];
        let error = Lease::take(world.run_dir(), &other).unwrap_err();
        assert!(matches!(error, FirewallError::Differs(_)), "{error}");
        let made = world.sandbox(1);
        inside(&made.namespace, || {
            assert!(reach(REFUSED[0], 80).is_err());
            assert_eq!(reach(PUBLIC, 80), Ok(()));
        });
        world.disconnect(1);
        // Alone, it may have its own.
        one.give_back().unwrap();
        let two = Lease::take(world.run_dir(), &other).unwrap();
        assert_eq!(two.give_back().unwrap(), Removal::Removed);
    });
}

#[test]
fn engines_that_come_and_go_at_once_do_not_disturb_each_other() {
    in_a_world(|world| {
        let before = state();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                let (here, run_dir, rules) = (&world.here, world.run_dir(), world.rules());
                scope.spawn(move || {
                    soulbox_syscall::namespace::enter_network_namespace(here.as_fd()).unwrap();
                    for _ in 0..4 {
                        let walls = Lease::take(run_dir, &rules).unwrap();
                        assert!(nft("list tables").contains("inet soulbox"));
                        assert_eq!(sysctl("ipv4/ip_forward"), "1");
                        walls.give_back().unwrap();
                    }
                });
            }
        });
        assert_eq!(state(), before);
    });
}

#[test]
fn what_a_killed_engine_left_is_repaired_or_taken_down() {
    in_a_world(|world| {
        let before = state();
        for repair in [true, false] {
            hold_and_be_killed(world);
            assert!(
                nft("list tables").contains("inet soulbox"),
                "it left its walls"
            );
            assert_eq!(sysctl("ipv4/ip_forward"), "1");
            if repair {
                let walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
                assert_eq!(walls.give_back().unwrap(), Removal::Removed);
            } else {
                assert_eq!(firewall::sweep(world.run_dir()).unwrap(), Removal::Removed);
            }
            assert_eq!(state(), before);
        }
    });
}

/// Starts this program again as an engine that takes a lease, and kills it.
fn hold_and_be_killed(world: &World) {
    #[allow(clippy::disallowed_methods, reason = "a process that can be killed")]
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "lease::an_engine_that_waits_to_be_killed",
            "--nocapture",
        ])
        .env("SOULBOX_TEST_RUN_DIR", world.run_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    while !said.contains("holding") {
        let read = std::io::BufRead::read_line(&mut reader, &mut said).unwrap();
        assert_ne!(read, 0, "{said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "run by what_a_killed_engine_left_is_repaired_or_taken_down"]
fn an_engine_that_waits_to_be_killed() {
    #[allow(clippy::disallowed_methods, reason = "how the test tells it where")]
    let Ok(run_dir) = std::env::var("SOULBOX_TEST_RUN_DIR") else {
        return;
    };
    let rules = World::rules_of("198.18.0.0/19");
    let _walls = Lease::take(run_dir.as_ref(), &rules).unwrap();
    println!("\nholding");
    let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
}

#[test]
fn rules_that_somebody_flushed_are_put_up_again() {
    in_a_world(|world| {
        let mut walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        assert!(!walls.repair(&world.rules()).unwrap());
        let made = world.sandbox(1);
        for harm in [
            "flush ruleset",
            "flush table inet soulbox",
            "flush chain inet soulbox input",
        ] {
            nft(harm);
            assert!(walls.repair(&world.rules()).unwrap(), "{harm}");
            inside(&made.namespace, || {
                assert!(reach(UPLINK, 80).is_err(), "{harm}");
                assert_eq!(reach(PUBLIC, 80), Ok(()), "{harm}");
            });
        }
    });
}

#[test]
fn a_forward_chain_that_drops_is_opened_for_sandboxes_and_closed_again() {
    in_a_world(|world| {
        nft("add table ip filter");
        nft("add chain ip filter FORWARD { type filter hook forward priority 0 ; policy drop ; }");
        let before = state();
        let walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        assert_eq!(walls.obstacles(), []);
        let made = world.sandbox(1);
        inside(&made.namespace, || {
            assert_eq!(reach(PUBLIC, 80), Ok(()));
            assert!(reach(REFUSED[0], 80).is_err());
        });
        if program("iptables-nft", &["--version"]).0 {
            let (readable, said) = program("iptables-nft", &["-S", "FORWARD"]);
            assert!(
                readable && said.contains("-i sbx+"),
                "iptables still reads its chain: {said}"
            );
        }
        let again = Lease::take(world.run_dir(), &world.rules()).unwrap();
        assert_eq!(
            nft("list chain ip filter FORWARD").matches("sbx").count(),
            2
        );
        drop(again);
        // What the operator's own rules drop stays dropped.
        nft("insert rule ip filter FORWARD ip daddr 198.51.100.10 drop");
        inside(&made.namespace, || assert!(reach(PUBLIC, 80).is_err()));
        nft("flush chain ip filter FORWARD");
        world.disconnect(1);
        drop(walls);
        assert_eq!(state(), before);
    });
}

#[test]
fn other_chains_that_drop_are_told() {
    in_a_world(|world| {
        nft("add table inet mine");
        nft("add chain inet mine through { type filter hook forward priority 0 ; policy drop ; }");
        let walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        let [obstacle] = walls.obstacles() else {
            panic!("{:?}", walls.obstacles())
        };
        assert!(
            obstacle.to_string().contains("inet mine through"),
            "{obstacle}"
        );
    });
}

#[test]
fn a_host_that_did_not_forward_still_does_not_for_others() {
    in_a_world(|world| {
        let other = fresh_namespace();
        let there = path_of(&other);
        ip(&format!(
            "link add second type veth peer name eth0 netns {there}"
        ));
        ip("addr add 192.0.2.1/28 dev second");
        ip("link set second up");
        inside(&other, || {
            ip("addr add 192.0.2.2/28 dev eth0");
            ip("link set eth0 up");
            ip("route add default via 192.0.2.1");
        });
        let passes = || inside(&other, || reach(PUBLIC, 80).is_ok());
        assert!(!passes(), "it does not forward");
        let walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        assert!(!passes(), "and does not with walls");
        drop(walls);
        set_sysctl("ipv4/ip_forward", "1");
        assert!(passes(), "it would if it did");
    });
}

#[test]
fn an_engine_that_came_later_keeps_its_forwarding() {
    in_a_world(|world| {
        let walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        let other = fresh_namespace();
        let there = path_of(&other);
        ip("link add docker0 type bridge");
        ip("addr add 192.0.2.17/28 dev docker0");
        ip("link set docker0 up");
        ip(&format!(
            "link add port type veth peer name eth0 netns {there}"
        ));
        ip("link set port master docker0 up");
        inside(&other, || {
            ip("addr add 192.0.2.18/28 dev eth0");
            ip("link set eth0 up");
            ip("route add default via 192.0.2.17");
        });
        let passes = || inside(&other, || reach(PUBLIC, 80).is_ok());
        assert!(passes(), "a container gets out beside our walls");
        assert_eq!(walls.give_back().unwrap(), Removal::Removed);
        assert_eq!(sysctl("ipv4/ip_forward"), "1");
        assert!(passes(), "and after them");
    });
}

#[test]
fn a_watch_tells_when_rules_are_flushed_or_a_chain_comes() {
    in_a_world(|world| {
        let mut walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        let watch = Watch::open().unwrap();
        assert!(!watch.changed());
        nft("add table ip filter");
        assert!(!watch.changed(), "a table drops nothing");
        nft("add chain ip filter FORWARD { type filter hook forward priority 0 ; policy drop ; }");
        assert!(watch.changed());
        let made = world.sandbox(1);
        inside(&made.namespace, || assert!(reach(PUBLIC, 80).is_err()));
        walls.look_around().unwrap();
        inside(&made.namespace, || assert_eq!(reach(PUBLIC, 80), Ok(())));
        watch.changed();
        nft("flush ruleset");
        assert!(watch.changed());
        assert!(walls.repair(&world.rules()).unwrap());
    });
}
