//! The sockets of one sandbox, and its limits.
//!
//! A question is taken from its socket only when it may be asked. What a sandbox sends beyond
//! that waits in Linux's buffer of that socket and is dropped there when it is full, at no cost
//! to the engine: a flood drowns the sandbox's own questions only.

use super::Resolver;
use super::exchange::{self, Transport};
use super::question::{Code, Question, Rejected};
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Questions of one sandbox that wait for an answer: those that it may always have, and with
/// those that it shares with the others.
const OWN: usize = 2;
const MOST: usize = 32;
/// Questions of one sandbox in a second, and how many at once after a rest. A package manager
/// asks some tens; 500 cost the engine about 5 % of a CPU.
const PER_SECOND: f64 = 500.0;
const AT_ONCE: f64 = 500.0;
/// Connections of one sandbox.
const CONNECTIONS: usize = 16;
/// The longest question: one takes at most 271 bytes, and options of EDNS come on top.
const LONGEST: usize = 4096;
/// How long a connection may be silent (RFC 7766 says some seconds).
const IDLE: Duration = Duration::from_secs(10);
/// How long a client may take to take its answer.
const WRITE: Duration = Duration::from_secs(5);
/// After an error of a socket itself (no descriptors left, say), it is tried again so much later.
const REST: Duration = Duration::from_millis(100);

/// A sandbox that asks.
#[derive(Debug)]
pub(super) struct Guest {
    resolver: Resolver,
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
    rate: Mutex<Rate>,
}

/// The right to ask one question.
struct Turn {
    _one: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Guest {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self {
            resolver,
            own: Arc::new(Semaphore::new(OWN)),
            all: Arc::new(Semaphore::new(MOST)),
            rate: Mutex::new(Rate::new(Instant::now())),
        }
    }

    /// Waits until the sandbox may ask a question. None when the engine ends.
    async fn turn(&self) -> Option<Turn> {
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        let own = Arc::clone(&self.own).acquire_owned();
        let shared = Arc::clone(&self.resolver.shared).acquire_owned();
        let one = tokio::select! {
            biased;
            own = own => own.ok()?,
            shared = shared => shared.ok()?,
        };
        loop {
            let wait = self
                .rate
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(Instant::now());
            match wait {
                None => {
                    return Some(Turn {
                        _one: one,
                        _of_all: of_all,
                    });
                }
                Some(wait) => sleep(wait).await,
            }
        }
    }

    /// The answer to a message; none when it gets none.
    async fn answer(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let question = match Question::parse(message) {
            Ok(question) => question,
            Err(Rejected::Silently) => return None,
            Err(Rejected::With(answer)) => return Some(answer),
        };
        let answer = exchange::ask(&self.resolver.upstreams, &question, transport).await;
        Some(match (answer, transport) {
            (None, _) => question.failure(Code::ServerFailure),
            (Some(answer), Transport::Datagram) => question.in_datagram(answer),
            (Some(answer), Transport::Stream) => question.in_stream(answer),
        })
    }
}

/// A bucket of turns that fills at [`PER_SECOND`].
#[derive(Debug)]
struct Rate {
    turns: f64,
    filled: Instant,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self {
            turns: AT_ONCE,
            filled: now,
        }
    }

    /// Takes a turn, or tells when to come again.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.turns = (self.turns + passed * PER_SECOND).min(AT_ONCE);
        self.filled = now;
        if self.turns < 1.0 {
            return Some(Duration::from_secs_f64((1.0 - self.turns) / PER_SECOND));
        }
        self.turns -= 1.0;
        None
    }
}

/// Answers datagrams until it is aborted.
pub(super) async fn datagrams(guest: Arc<Guest>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut tasks = JoinSet::new();
    let mut message = vec![0; LONGEST];
    loop {
        while tasks.try_join_next().is_some() {}
        if rest_after(socket.readable().await).await {
            continue;
        }
        let Some(turn) = guest.turn().await else {
            return;
        };
        let (length, from) = match socket.try_recv_from(&mut message) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => {
                rest_after::<()>(Err(error)).await;
                continue;
            }
        };
        let (guest, socket) = (Arc::clone(&guest), Arc::clone(&socket));
        let message = message[..length].to_vec();
        tasks.spawn(async move {
            if let Some(answer) = guest.answer(&message, Transport::Datagram).await {
                // A client that has gone is no concern of ours.
                let _ = timeout(WRITE, socket.send_to(&answer, from)).await;
            }
            drop(turn);
        });
    }
}

/// Answers connections until it is aborted.
pub(super) async fn connections(guest: Arc<Guest>, listener: TcpListener) {
    let open = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&open).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let guest = Arc::clone(&guest);
                tasks.spawn(async move {
                    // A client that breaks its connection is no concern of ours.
                    let _ = connection(&guest, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                rest_after::<()>(Err(error)).await;
            }
        }
    }
}

/// Answers the questions of a connection, one after the other.
async fn connection(guest: &Guest, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let message = within(IDLE, exchange::read_message(&mut stream, LONGEST)).await?;
        let Some(turn) = guest.turn().await else {
            return Ok(());
        };
        let answer = guest.answer(&message, Transport::Stream).await;
        drop(turn);
        let Some(answer) = answer else { return Ok(()) };
        within(WRITE, exchange::write_message(&mut stream, &answer)).await?;
    }
}

async fn within<T>(time: Duration, act: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(time, act)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Waits after an error, so that one that stays does not keep a CPU busy. True after an error.
async fn rest_after<T>(result: io::Result<T>) -> bool {
    let Err(error) = result else { return false };
    tracing::debug!(%error, "a socket of a sandbox's resolver");
    sleep(REST).await;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_may_burst_and_then_asks_at_its_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert!((0..500).all(|_| rate.take(start).is_none()));
        let wait = rate.take(start).unwrap();
        assert_eq!(wait, Duration::from_millis(2));
        assert_eq!(rate.take(start + wait), None);
        assert!(rate.take(start + wait).is_some());
        let later = start + Duration::from_secs(60);
        assert_eq!(
            (0..600).filter(|_| rate.take(later).is_none()).count(),
            500,
            "no hoarding"
        );
    }
}
