//! The resolver of sandboxes, against name servers of our own on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use rustix::fd::{AsFd, OwnedFd};
use soulbox_node::resolver::{Resolver, Service, upstream::Upstreams};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

/// Long enough for a machine that is busy.
const SOON: Duration = Duration::from_secs(4);

/// A question for `name`, type A, under number 0x1234.
fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}

/// What a server of ours answers: the question as an answer, and `rest` after it.
fn answer(question: &[u8], code: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80;
    bytes[3] = 0x80 | code;
    bytes.extend_from_slice(rest);
    bytes
}

fn code(message: &[u8]) -> u8 {
    message[3] & 0xf
}

/// A name server: `reply` makes each datagram's answer, or none; connections get `long` bytes
/// after the question. Tells how often it was asked.
async fn server(
    reply: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let (socket, listener) = pair().await;
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut message = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut message).await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            if let Some(answer) = reply(&message[..length]) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = read(&mut stream).await;
            write(&mut stream, &answer(&asked, 0, &[7; 3000])).await;
        }
    });
    (address, asked)
}

/// A UDP socket and a TCP listener on the same free port.
async fn pair() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
}

async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u16().await.unwrap();
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await.unwrap();
    message
}

async fn write(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap();
    stream
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await
        .unwrap();
}

/// A sandbox's sockets, served; and where to ask.
async fn serve(resolver: &Resolver) -> (Service, SocketAddr) {
    let (socket, listener) = pair().await;
    let address = socket.local_addr().unwrap();
    let udp = OwnedFd::from(socket.into_std().unwrap());
    let tcp = OwnedFd::from(listener.into_std().unwrap());
    (resolver.serve(udp, tcp).unwrap(), address)
}

async fn client(address: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    client.connect(address).await.unwrap();
    client
}

/// Asks by datagram; none when there is no answer soon.
async fn ask(client: &UdpSocket, message: &[u8]) -> Option<Vec<u8>> {
    client.send(message).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = timeout(SOON, client.recv(&mut answer)).await.ok()?.unwrap();
    answer.truncate(length);
    Some(answer)
}

#[tokio::test]
async fn a_question_is_answered_by_datagram_and_by_connection() {
    let (upstream, _) = server(|asked| Some(answer(asked, 0, b"address"))).await;
    let resolver = Resolver::new(Upstreams::fixed(vec![upstream]));
    let (_service, address) = serve(&resolver).await;
    let expected = answer(&question("example.com"), 0, b"address");
    let answered = ask(&client(address).await, &question("example.com"))
        .await
        .unwrap();
    assert_eq!(answered, expected);
    let mut stream = TcpStream::connect(address).await.unwrap();
    for name in ["example.com", "second.example.com"] {
        write(&mut stream, &question(name)).await;
        let long = timeout(SOON, read(&mut stream)).await.unwrap();
        assert_eq!(
            long,
            answer(&question(name), 0, &[7; 3000]),
            "whole, however long"
        );
    }
}

#[tokio::test]
async fn a_cut_answer_is_passed_on_as_cut_and_a_long_one_is_cut() {
    let (upstream, _) = server(|asked| {
        let mut cut = answer(asked, 0, &[]);
        cut[2] |= 2;
        let long = asked.windows(4).any(|bytes| bytes == b"long");
        Some(if long {
            answer(asked, 0, &[1; 900])
        } else {
            cut
        })
    })
    .await;
    let resolver = Resolver::new(Upstreams::fixed(vec![upstream]));
    let (_service, address) = serve(&resolver).await;
    for name in ["cut.example", "long.example"] {
        let answered = ask(&client(address).await, &question(name)).await.unwrap();
        assert_eq!(answered[2] & 2, 2, "{name}: it says that it is cut");
        assert_eq!(answered.len(), question(name).len());
    }
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails_or_is_silent() {
    let (silent, silent_asked) = server(|_| None).await;
    let (failing, failing_asked) = server(|asked| Some(answer(asked, 2, &[]))).await;
    let (well, _) = server(|asked| Some(answer(asked, 0, b"well"))).await;
    let resolver = Resolver::new(Upstreams::fixed(vec![silent, failing, well]));
    let (_service, address) = serve(&resolver).await;
    let client = client(address).await;
    let answered = ask(&client, &question("example.com")).await.unwrap();
    assert!(answered.ends_with(b"well"));
    assert!(silent_asked.load(Ordering::SeqCst) >= 1);
    assert_eq!(failing_asked.load(Ordering::SeqCst), 1);
    // Who answered is asked first from now on.
    let begin = Instant::now();
    assert!(
        ask(&client, &question("second.example"))
            .await
            .unwrap()
            .ends_with(b"well")
    );
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(failing_asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn when_no_server_answers_the_sandbox_is_told_so() {
    let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let resolver = Resolver::new(Upstreams::fixed(vec![gone]));
    let (_service, address) = serve(&resolver).await;
    let answered = ask(&client(address).await, &question("example.com"))
        .await
        .unwrap();
    assert_eq!(code(&answered), 2);
    let resolver = Resolver::new(Upstreams::fixed(Vec::new()));
    let (_service, address) = serve(&resolver).await;
    let answered = ask(&client(address).await, &question("example.com"))
        .await
        .unwrap();
    assert_eq!(code(&answered), 2);
}

#[tokio::test]
async fn answers_to_other_questions_are_passed_over() {
    let (upstream, _) = server(|asked| {
        let mut forged = answer(asked, 0, b"forged");
        forged[1] ^= 1;
        Some(forged)
    })
    .await;
    let (well, _) = server(|asked| Some(answer(asked, 0, b"well"))).await;
    let resolver = Resolver::new(Upstreams::fixed(vec![upstream, well]));
    let (_service, address) = serve(&resolver).await;
    let answered = ask(&client(address).await, &question("example.com"))
        .await
        .unwrap();
    assert!(answered.ends_with(b"well"));
}

#[tokio::test]
async fn the_servers_see_another_number_each_time() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (upstream, _) = server(move |asked| {
        tell.send([asked[0], asked[1]]).unwrap();
        Some(answer(asked, 0, &[]))
    })
    .await;
    let resolver = Resolver::new(Upstreams::fixed(vec![upstream]));
    let (_service, address) = serve(&resolver).await;
    let client = client(address).await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        assert_eq!(
            ask(&client, &question("example.com")).await.unwrap()[..2],
            [0x12, 0x34]
        );
        seen.insert(told.recv().await.unwrap());
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[tokio::test]
async fn what_is_no_question_does_not_reach_the_servers() {
    let (upstream, asked) = server(|asked| Some(answer(asked, 0, &[]))).await;
    let resolver = Resolver::new(Upstreams::fixed(vec![upstream]));
    let (_service, address) = serve(&resolver).await;
    let client = client(address).await;
    let mut two = question("example.com");
    two[5] = 2;
    assert_eq!(code(&ask(&client, &two).await.unwrap()), 1);
    let mut transfer = question("example.com");
    let at = transfer.len() - 3;
    transfer[at] = 252;
    assert_eq!(code(&ask(&client, &transfer).await.unwrap()), 5);
    // Those that get no answer, and one that does, to know that they were read.
    client.send(b"short").await.unwrap();
    client
        .send(&answer(&question("example.com"), 0, &[]))
        .await
        .unwrap();
    assert_eq!(code(&ask(&client, &two).await.unwrap()), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[0xff, 0xff, 0]).await.unwrap();
    let ended = timeout(SOON, stream.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn a_flood_of_one_sandbox_does_not_hold_up_another() {
    let (upstream, asked) = server(|asked| {
        let hang = asked.windows(4).any(|bytes| bytes == b"hang");
        (!hang).then(|| answer(asked, 0, b"well"))
    })
    .await;
    let resolver = Resolver::new(Upstreams::fixed(vec![upstream]));
    let mut flooding = Vec::new();
    // More sandboxes than the shared places have room for.
    for _ in 0..20 {
        let (service, address) = serve(&resolver).await;
        let client = client(address).await;
        for number in 0..200 {
            client
                .send(&question(&format!("hang{number}.example")))
                .await
                .unwrap();
        }
        flooding.push((service, client));
    }
    // 2 of its own and 512 of all: until those hang, the flood is not at its height.
    let all = 512 + 2 * 20;
    timeout(SOON, async {
        while asked.load(Ordering::SeqCst) < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the flood fills its places");
    let (_service, address) = serve(&resolver).await;
    let begin = Instant::now();
    let answered = ask(&client(address).await, &question("calm.example"))
        .await
        .unwrap();
    assert!(answered.ends_with(b"well"));
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_service_that_is_dropped_closes_its_sockets() {
    let resolver = Resolver::new(Upstreams::fixed(Vec::new()));
    let (service, address) = serve(&resolver).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    write(&mut stream, &question("example.com")).await;
    read(&mut stream).await;
    drop(service);
    assert_eq!(
        timeout(SOON, stream.read(&mut [0; 8]))
            .await
            .unwrap()
            .unwrap(),
        0
    );
    let freed = async {
        while UdpSocket::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, freed).await.expect("the port is free");
}

/// The sockets that the spawner makes, asked from inside the namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_asks_in_its_own_namespace() {
    use soulbox_runtime::native::network::{address::SandboxRange, namespace};
    use soulbox_syscall::namespace::{enter_network_namespace, new_network_namespace};
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces need root");
        return;
    }
    let (upstream, _) = server(|asked| Some(answer(asked, 0, b"well"))).await;
    let made = std::thread::spawn(|| {
        new_network_namespace().unwrap();
        let host = namespace::Host::open().unwrap();
        let range = SandboxRange::new("198.18.0.0/15".parse().unwrap()).unwrap();
        namespace::create(&host, Some(&range.ends(1).unwrap()), None).unwrap()
    })
    .join()
    .unwrap();
    let sockets = made.resolver.unwrap();
    let resolver = Resolver::new(Upstreams::fixed(vec![upstream]));
    let _service = resolver.serve(sockets.udp, sockets.tcp).unwrap();
    let inside = made.namespace;
    let (datagram, stream) = tokio::task::spawn_blocking(move || {
        std::thread::spawn(move || {
            enter_network_namespace(inside.as_fd()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let address = SocketAddr::from(namespace::RESOLVER);
                let client = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                client.connect(address).await.unwrap();
                let datagram = ask(&client, &question("example.com")).await;
                let mut stream = TcpStream::connect(address).await.unwrap();
                write(&mut stream, &question("example.com")).await;
                (datagram.unwrap(), read(&mut stream).await)
            })
        })
        .join()
        .unwrap()
    })
    .await
    .unwrap();
    assert!(datagram.ends_with(b"well"));
    assert_eq!(stream.len(), question("example.com").len() + 3000);
}
