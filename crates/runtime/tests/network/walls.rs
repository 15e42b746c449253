//! What sandboxes reach, and what they do not.

use super::world::*;
use soulbox_runtime::native::network::firewall::Lease;
use soulbox_runtime::native::network::firewall::rules::Rules;
use soulbox_runtime::native::network::link;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

fn forward() {
    set_sysctl("ipv4/ip_forward", "1");
}

#[test]
fn public_addresses_are_reached_and_blocked_ones_refused() {
    in_a_world(|world| {
        let _walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        let made = world.sandbox(1);
        let told = world.out_there(|| listen_for_datagrams(7));
        inside(&made.namespace, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.send_to(b"x", (PUBLIC, 7)).unwrap();
            assert_eq!(reach(PUBLIC, 80), Ok(()));
            assert!(reach_udp(PUBLIC, 80));
            for address in REFUSED {
                assert_eq!(
                    reach(address, 80),
                    Err(ErrorKind::ConnectionRefused),
                    "{address}"
                );
                assert!(!reach_udp(address, 80), "{address}");
            }
        });
        let from = told.recv_timeout(PATIENCE).unwrap().ip();
        assert_eq!(from, UPLINK, "nobody outside sees the sandbox's address");
    });
}

#[test]
fn what_the_operator_allows_is_reached_and_nothing_beside_it() {
    in_a_world(|world| {
        let mut rules = world.rules();
        rules.allow = REFUSED[..5]
            .iter()
            .map(|a| a.to_string().parse().unwrap())
            .collect();
        rules.allow.push("198.18.128.0/17".parse().unwrap());
        let _walls = Lease::take(world.run_dir(), &rules).unwrap();
        let made = world.sandbox(1);
        world.out_there(|| ip("addr add 10.1.2.4/32 dev lo"));
        inside(&made.namespace, || {
            for address in REFUSED {
                assert_eq!(reach(address, 80), Ok(()), "{address}");
                assert!(reach_udp(address, 80), "{address}");
                assert!(reach(address, 25).is_err(), "a refused port stays refused");
            }
            assert!(reach(Ipv4Addr::new(10, 1, 2, 4), 80).is_err());
        });
    });
}

#[test]
fn the_fixed_policy_lets_public_addresses_pass_and_no_other() {
    in_a_world(|world| {
        let rules = Rules::of_policy(world.range, Vec::new());
        let _walls = Lease::take(world.run_dir(), &rules).unwrap();
        let made = world.sandbox(1);
        inside(&made.namespace, || {
            assert_eq!(reach(PUBLIC, 80), Ok(()));
            assert!(reach(PUBLIC, 25).is_err());
            for address in REFUSED {
                assert!(reach(address, 80).is_err(), "{address}");
            }
        });
    });
}

#[test]
fn the_host_is_refused_on_every_address_that_it_has() {
    in_a_world(|world| {
        let ends = world.ends(1);
        let made = world.sandbox(1);
        let addresses = [ends.host, UPLINK, ALIAS];
        for address in addresses {
            serve_datagrams(address, 80);
        }
        inside(&made.namespace, || {
            for address in addresses {
                assert_eq!(reach(address, 80), Ok(()), "{address} without walls");
                assert!(reach_udp(address, 80), "{address} without walls");
            }
        });
        let mut rules = world.rules();
        rules.allow = vec!["0.0.0.0/0".parse().unwrap()];
        let _walls = Lease::take(world.run_dir(), &rules).unwrap();
        inside(&made.namespace, || {
            for address in addresses {
                assert_eq!(
                    reach(address, 80),
                    Err(ErrorKind::ConnectionRefused),
                    "{address}"
                );
                assert!(!reach_udp(address, 80), "{address}");
                assert!(
                    !program("ping", &["-c1", "-W1", &address.to_string()]).0,
                    "{address}"
                );
            }
        });
    });
}

#[test]
fn a_port_that_a_container_engine_publishes_on_the_host_is_refused() {
    in_a_world(|world| {
        forward();
        nft("add table ip docker");
        nft("add chain ip docker pre { type nat hook prerouting priority dstnat ; }");
        nft("add rule ip docker pre ip daddr 203.0.113.2 tcp dport 9000 dnat to 198.51.100.10:80");
        nft("add rule ip docker pre ip daddr 203.0.113.2 tcp dport 9001 redirect to 80");
        nft("add chain ip docker post { type nat hook postrouting priority srcnat ; }");
        nft("add rule ip docker post masquerade");
        let made = world.sandbox(1);
        inside(&made.namespace, || {
            assert_eq!(reach(UPLINK, 9000), Ok(()), "without walls");
            assert_eq!(reach(UPLINK, 9001), Ok(()), "without walls");
        });
        let _walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        inside(&made.namespace, || {
            assert!(reach(UPLINK, 9000).is_err());
            assert!(reach(UPLINK, 9001).is_err());
            assert_eq!(reach(PUBLIC, 80), Ok(()));
        });
    });
}

#[test]
fn sandboxes_do_not_reach_each_other() {
    in_a_world(|world| {
        forward();
        let (one, two) = (world.sandbox(1), world.sandbox(2));
        let told = inside(&two.namespace, || listen_for_datagrams(7));
        let to = world.ends(2).sandbox;
        let send = || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let _ = socket.send_to(b"x", (to, 7));
        };
        inside(&one.namespace, send);
        told.recv_timeout(PATIENCE)
            .expect("it arrives without walls");
        let mut rules = world.rules();
        rules.allow = vec!["0.0.0.0/0".parse().unwrap()];
        let _walls = Lease::take(world.run_dir(), &rules).unwrap();
        inside(&one.namespace, send);
        inside(&one.namespace, || {
            assert_eq!(reach(to, 80), Err(ErrorKind::ConnectionRefused));
        });
        assert!(told.recv_timeout(QUIET).is_err(), "nothing more arrives");
        // Not by way of the host's end of the other one either.
        let other_end = world.ends(2).host;
        inside(&one.namespace, || assert!(reach(other_end, 80).is_err()));
    });
}

#[test]
fn the_internet_does_not_reach_into_a_sandbox() {
    in_a_world(|world| {
        forward();
        let made = world.sandbox(1);
        let told = inside(&made.namespace, || listen_for_datagrams(7));
        let to = world.ends(1).sandbox;
        let send = || {
            UdpSocket::bind("0.0.0.0:0")
                .unwrap()
                .send_to(b"x", (to, 7))
                .unwrap()
        };
        world.out_there(send);
        told.recv_timeout(PATIENCE)
            .expect("it arrives without walls");
        let _walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        world.out_there(send);
        assert!(told.recv_timeout(QUIET).is_err());
    });
}

#[test]
fn forged_sources_are_dropped() {
    in_a_world(|world| {
        forward();
        let (one, _two) = (world.sandbox(1), world.sandbox(2));
        // The link's own check is switched off, so that the table has to stand alone.
        set_sysctl("ipv4/conf/all/rp_filter", "0");
        set_sysctl("ipv4/conf/sbx1/rp_filter", "0");
        let told = world.out_there(|| listen_for_datagrams(7));
        let forged = [world.ends(2).sandbox, UPLINK, Ipv4Addr::new(8, 8, 4, 4)];
        let send = |from: Ipv4Addr| {
            inside(&one.namespace, || {
                let _ = program("ip", &["addr", "add", &format!("{from}/32"), "dev", "eth0"]);
                let socket = UdpSocket::bind((from, 0)).unwrap();
                socket.send_to(b"x", (PUBLIC, 7)).unwrap();
            });
        };
        for from in [forged[0], forged[2]] {
            send(from);
            told.recv_timeout(PATIENCE)
                .expect("it arrives without walls");
        }
        let _walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        forged.into_iter().for_each(send);
        assert!(told.recv_timeout(QUIET).is_err());
        inside(&one.namespace, || {
            assert!(reach_udp(PUBLIC, 80), "the true source passes");
        });
    });
}

#[test]
fn a_link_drops_forged_sources_without_any_table_too() {
    in_a_world(|world| {
        forward();
        let (one, _two) = (world.sandbox(1), world.sandbox(2));
        let told = world.out_there(|| listen_for_datagrams(7));
        let from = world.ends(2).sandbox;
        inside(&one.namespace, || {
            ip(&format!("addr add {from}/32 dev eth0"));
            let forged = UdpSocket::bind((from, 0)).unwrap();
            forged.send_to(b"x", (PUBLIC, 7)).unwrap();
            UdpSocket::bind("0.0.0.0:0")
                .unwrap()
                .send_to(b"x", (PUBLIC, 7))
                .unwrap();
        });
        let arrived = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(arrived.ip(), world.ends(1).sandbox);
        assert!(told.recv_timeout(QUIET).is_err());
    });
}

#[test]
fn mail_is_refused() {
    in_a_world(|world| {
        let mut rules = world.rules();
        let made = world.sandbox(1);
        let walls = Lease::take(world.run_dir(), &rules).unwrap();
        inside(&made.namespace, || {
            for port in [25, 587] {
                assert_eq!(
                    reach(PUBLIC, port),
                    Err(ErrorKind::ConnectionRefused),
                    "{port}"
                );
            }
            assert_eq!(reach(PUBLIC, 80), Ok(()));
        });
        drop(walls);
        rules.refused_ports.clear();
        let _walls = Lease::take(world.run_dir(), &rules).unwrap();
        inside(&made.namespace, || {
            assert_eq!(reach(PUBLIC, 25), Ok(()), "but for the rule");
        });
    });
}

#[test]
fn no_ipv6_passes_even_when_everybody_speaks_it() {
    in_a_world(|world| {
        let made = world.sandbox(1);
        set_sysctl("ipv6/conf/all/forwarding", "1");
        ip("addr add fd00::1/64 dev sbx1 nodad");
        ip("addr add fd01::1/64 dev uplink nodad");
        inside(&made.namespace, || {
            set_sysctl("ipv6/conf/eth0/disable_ipv6", "0");
            ip("addr add fd00::2/64 dev eth0 nodad");
            ip("route add default via fd00::1");
        });
        let listen = || TcpListener::bind("[::]:8080").unwrap();
        let (_on_host, _outside) = (listen(), {
            world.out_there(|| {
                ip("addr add fd01::2/64 dev eth0 nodad");
                ip("route add default via fd01::1");
                listen()
            })
        });
        // Linux looks for neighbours again after a second when it was not ready for the first.
        let connect = |to: &str, patience| {
            let to = format!("[{to}]:8080").parse().unwrap();
            inside(&made.namespace, || {
                TcpStream::connect_timeout(&to, patience).is_ok()
            })
        };
        let (host, outside) = ("fd00::1", "fd01::2");
        assert!(
            connect(host, PATIENCE) && connect(outside, PATIENCE),
            "without walls"
        );
        let _walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        assert!(!connect(host, QUIET), "the host");
        assert!(!connect(outside, QUIET), "the internet");
    });
}

#[test]
fn one_sandbox_cannot_fill_the_table_of_connections() {
    in_a_world(|world| {
        let mut rules = world.rules();
        rules.connections = 5;
        let _walls = Lease::take(world.run_dir(), &rules).unwrap();
        let (one, two) = (world.sandbox(1), world.sandbox(2));
        inside(&one.namespace, || {
            let open = || TcpStream::connect_timeout(&(PUBLIC, 80).into(), PATIENCE);
            let held: Vec<_> = (0..5).map(|_| open().unwrap()).collect();
            assert!(open().is_err(), "the sixth");
            inside(&two.namespace, || {
                assert_eq!(reach(PUBLIC, 80), Ok(()), "a neighbour's");
            });
            drop(held);
        });
    });
}

#[test]
fn new_walls_end_connections_that_the_old_ones_allowed() {
    in_a_world(|world| {
        let mut rules = world.rules();
        rules.allow = vec![REFUSED[0].to_string().parse().unwrap()];
        let old = Lease::take(world.run_dir(), &rules).unwrap();
        let made = world.sandbox(1);
        let (blocked, public) = inside(&made.namespace, || {
            let open = |to: Ipv4Addr| {
                let stream = TcpStream::connect_timeout(&(to, 80).into(), PATIENCE).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                (&stream).read_exact(&mut [0; 4]).unwrap();
                stream
            };
            (open(REFUSED[0]), open(PUBLIC))
        });
        old.leave();
        let _new = Lease::take(world.run_dir(), &world.rules()).unwrap();
        // The server closes when it gets a byte.
        let closed_after_a_byte = |mut stream: TcpStream| {
            stream.write_all(b"x").unwrap();
            matches!(stream.read(&mut [0; 1]), Ok(0))
        };
        assert!(!closed_after_a_byte(blocked));
        assert!(closed_after_a_byte(public), "one that may be goes on");
    });
}

#[test]
fn ping_works_and_other_protocols_do_not() {
    in_a_world(|world| {
        let _walls = Lease::take(world.run_dir(), &world.rules()).unwrap();
        let made = world.sandbox(1);
        inside(&made.namespace, || {
            if program("ping", &["-V"]).0 {
                let (well, said) = program("ping", &["-c1", "-W2", &PUBLIC.to_string()]);
                assert!(well, "{said}");
            }
        });
    });
}

#[test]
fn links_of_others_are_left_alone() {
    assert_eq!(link::slot_of("sbx-of-others"), None);
}
