//! Connections to ports, through the real agent.

use crate::support::Agent;
use soulbox_runtime::agent_client::{AgentClient, DialError};
use std::net::IpAddr;
use std::num::NonZeroU16;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

async fn listen(address: &str) -> Option<(TcpListener, NonZeroU16)> {
    let address: IpAddr = address.parse().unwrap();
    let listener = TcpListener::bind((address, 0)).await.ok()?;
    let port = listener.local_addr().unwrap().port();
    Some((listener, NonZeroU16::new(port).unwrap()))
}

#[tokio::test]
async fn a_port_is_reached_on_either_loopback() {
    let agent = Agent::start();
    let client = AgentClient::new(agent.socket());
    for address in ["127.0.0.1", "0.0.0.0", "::1"] {
        // Not every machine has IPv6.
        let Some((listener, port)) = listen(address).await else {
            continue;
        };
        let (dialled, accepted) = tokio::join!(client.dial(port), listener.accept());
        let (mut here, (mut there, _)) = (dialled.unwrap(), accepted.unwrap());
        here.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        there.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ping");
        there.write_all(b"pong").await.unwrap();
        drop(there);
        let mut back = Vec::new();
        here.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"pong", "{address}");
    }
    client.health().await.unwrap();
}

#[tokio::test]
async fn a_closed_port_is_told_from_a_dead_agent() {
    let agent = Agent::start();
    let client = AgentClient::new(agent.socket());
    let (listener, port) = listen("127.0.0.1").await.unwrap();
    drop(listener);
    let refused = client.dial(port).await;
    assert!(matches!(refused, Err(DialError::Refused(refused)) if refused == port));
    drop(agent);
    let gone = client.dial(port).await;
    assert!(matches!(gone, Err(DialError::Agent(_))), "{gone:?}");
}

#[tokio::test]
async fn many_connections_at_once() {
    let agent = Agent::start();
    let client = AgentClient::new(agent.socket());
    let (listener, port) = listen("127.0.0.1").await.unwrap();
    let dials = (0..300).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.dial(port).await.map(drop) })
    });
    let dials: Vec<_> = dials.collect();
    for _ in 0..300 {
        listener.accept().await.unwrap();
    }
    for dial in dials {
        dial.await.unwrap().unwrap();
    }
}
