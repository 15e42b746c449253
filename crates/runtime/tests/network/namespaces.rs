//! What is in a new network namespace.

use super::world::{in_a_world, inside, ip, program, reach, sysctl};
use soulbox_runtime::native::network::{link, namespace};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;

#[test]
fn without_network_there_is_loopback_and_nothing_else() {
    in_a_world(|world| {
        let made = namespace::create(&world.host, None, None).unwrap();
        assert!(made.resolver.is_none());
        inside(&made.namespace, || {
            let links = program("ip", &["-br", "link"]).1;
            assert_eq!(links.lines().count(), 1, "{links}");
            assert!(links.starts_with("lo "), "{links}");
            assert!(TcpStream::connect("203.0.113.1:80").is_err());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        });
    });
}

#[test]
fn switches_are_set_inside_and_untouched_outside() {
    in_a_world(|world| {
        let outside = sysctl("ipv4/ip_unprivileged_port_start");
        let made = world.sandbox(1);
        inside(&made.namespace, || {
            assert_eq!(sysctl("ipv4/ip_unprivileged_port_start"), "0");
            assert_eq!(sysctl("ipv6/conf/default/disable_ipv6"), "1");
            assert_eq!(sysctl("ipv6/conf/eth0/disable_ipv6"), "1");
            assert_eq!(sysctl("ipv4/ping_group_range"), "0\t2147483647");
            let addresses = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
            assert!(
                addresses.lines().all(|line| line.ends_with(" lo")),
                "{addresses}"
            );
            TcpListener::bind("[::1]:0").unwrap();
        });
        assert_eq!(sysctl("ipv4/ip_unprivileged_port_start"), outside);
        assert_ne!(outside, "0");
    });
}

#[test]
fn the_resolver_listens_inside_on_its_address_only() {
    in_a_world(|world| {
        let made = world.sandbox(7);
        let resolver = made.resolver.as_ref().unwrap();
        let tcp = TcpListener::from(resolver.tcp.try_clone().unwrap());
        let udp = UdpSocket::from(resolver.udp.try_clone().unwrap());
        assert_eq!(tcp.local_addr().unwrap(), namespace::RESOLVER.into());
        assert_eq!(
            tcp.accept().unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
        inside(&made.namespace, || {
            let asking = UdpSocket::bind("127.0.0.1:0").unwrap();
            asking.send_to(b"question", namespace::RESOLVER).unwrap();
            // A name server of the sandbox's own fits beside it.
            UdpSocket::bind("127.0.0.1:53").unwrap();
            TcpStream::connect(namespace::RESOLVER).unwrap();
        });
        let mut question = [0; 16];
        assert_eq!(udp.recv(&mut question).unwrap(), 8);
        tcp.accept().unwrap();
    });
}

#[test]
fn a_namespace_from_a_pool_is_given_a_link_later() {
    in_a_world(|world| {
        let made = namespace::create(&world.host, None, None).unwrap();
        set_forwarding();
        namespace::connect(&world.host, made.namespace.as_fd(), &world.ends(9)).unwrap();
        assert_eq!(link::slots(&world.host).unwrap(), [9]);
        inside(&made.namespace, || {
            assert_eq!(reach(super::world::UPLINK, 80), Ok(()), "no wall is up yet");
        });
    });
}

#[test]
fn a_link_left_over_from_a_dead_sandbox_is_replaced() {
    in_a_world(|world| {
        let left = world.sandbox(3);
        let made = world.sandbox(3);
        inside(&left.namespace, || {
            assert!(TcpStream::connect("203.0.113.2:80").is_err());
        });
        inside(&made.namespace, || {
            assert_eq!(reach(super::world::UPLINK, 80), Ok(()));
        });
        assert_eq!(link::slots(&world.host).unwrap(), [3]);
    });
}

#[test]
fn a_failed_step_leaves_no_link_and_the_caller_where_it_was() {
    in_a_world(|world| {
        let ends = world.ends(5);
        let made = namespace::create(&world.host, None, None).unwrap();
        inside(&made.namespace, || ip("link add eth0 type bridge"));
        let error = namespace::connect(&world.host, made.namespace.as_fd(), &ends).unwrap_err();
        assert!(error.to_string().contains("of slot 5"), "{error}");
        assert!(link::slots(&world.host).unwrap().is_empty());
        assert!(
            program("ip", &["link", "show", "uplink"]).0,
            "the caller is back on the host"
        );
    });
}

#[test]
fn many_links_come_and_go() {
    in_a_world(|world| {
        for round in 0..3 {
            let made: Vec<_> = (1..=40).map(|slot| world.sandbox(slot)).collect();
            assert_eq!(link::slots(&world.host).unwrap().len(), 40, "round {round}");
            for slot in 1..=40 {
                world.disconnect(slot);
                world.disconnect(slot);
            }
            assert!(link::slots(&world.host).unwrap().is_empty());
            drop(made);
        }
    });
}

fn set_forwarding() {
    super::world::set_sysctl("ipv4/ip_forward", "1");
}
