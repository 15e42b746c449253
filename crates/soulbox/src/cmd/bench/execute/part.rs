//! The parts of the bench: who asks, and small servers that run code by other means.

use super::Payload;
use crate::environment::Environment;
use crate::terminal;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use soulbox_settings::Source as _;
use std::io;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// The variable with the key of the server.
pub(super) const KEY: &str = "SOULBOX_BENCH_KEY";

/// How long an answer may take; none that counts takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long who has lost the connection rests before another is tried.
const PAUSE: Duration = Duration::from_millis(10);

/// What bubblewrap is told.
const BUBBLEWRAP: [&str; 10] = [
    "--unshare-all",
    "--die-with-parent",
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--",
];

/// A failure of a part. It is told and ends the bench.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Asks.
    Load,
    /// Runs code as a process.
    Fork,
    /// Runs code as a process in bubblewrap.
    Bubblewrap,
}

/// Whom to ask, how often, for what.
pub(super) struct Asked {
    pub(super) to: String,
    pub(super) template: String,
    pub(super) users: u32,
    pub(super) time: Duration,
    pub(super) warm_up: Duration,
    pub(super) payload: Payload,
    /// How often all users together ask in a second; 0: each when it has its answer.
    pub(super) rate: u32,
}

/// What who asked has seen.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cmd::bench) struct Told {
    /// How long each good answer took.
    pub(in crate::cmd::bench) micros: Vec<u64>,
    /// Answers that are not what the code prints, and requests without one.
    pub(in crate::cmd::bench) failures: f64,
    /// What was asked for, or due, before the end and well answered after it, or not asked any more: no time above has
    /// them, so that the longest times of somebody who cannot keep up are longer than they look.
    pub(in crate::cmd::bench) unanswered: f64,
    pub(in crate::cmd::bench) elapsed_us: u64,
    /// How many processors it took itself.
    pub(in crate::cmd::bench) share: f64,
}

/// What is looked at of an answer.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    stdout: String,
    exit_code: Option<i32>,
}

impl Part {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Fork => "fork",
            Self::Bubblewrap => "bubblewrap",
        }
    }

    /// Whether this machine has what it needs.
    #[allow(clippy::disallowed_methods)] // the tools that are compared are programs of the host
    pub(in crate::cmd::bench) fn works(self) -> bool {
        let Self::Bubblewrap = self else {
            return true;
        };
        let mut command = std::process::Command::new("bwrap");
        let command = command.args(BUBBLEWRAP).arg("/bin/true");
        command.status().is_ok_and(|status| status.success())
    }
}

/// Is a part. Those that listen print where, and go on until they are killed.
pub(super) fn be(part: Part, asked: &Asked) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        match part {
            Part::Load => ask(asked).await,
            Part::Fork | Part::Bubblewrap => serve(part, asked.payload).await,
        }
    });
    done.map_err(io::Error::other)
}

async fn serve(part: Part, payload: Payload) -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    terminal::print(&listener.local_addr()?.to_string()).map_err(|_| "nobody reads")?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(request, part, payload));
            let builder = server::Builder::new();
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// Runs the payload and answers as `soulbox serve` would, as far as it is looked at.
async fn answer(
    request: Request<Incoming>,
    part: Part,
    payload: Payload,
) -> Result<Response<Full<Bytes>>, Failed> {
    request.into_body().collect().await?;
    let words = payload.words().ok_or("it is no command of the host")?;
    let before = ["bwrap"].into_iter().chain(BUBBLEWRAP);
    let all: Vec<&str> = match part {
        Part::Bubblewrap => before.chain(words).collect(),
        _ => words.to_vec(),
    };
    let (program, arguments) = all.split_first().ok_or("there is no program")?;
    let output = command(program, arguments).output().await?;
    let answer = Answer {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        exit_code: output.status.code(),
    };
    Ok(Response::new(Full::new(
        serde_json::to_vec(&answer)?.into(),
    )))
}

#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "what is compared are programs of the host"
)]
fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Asks as so many users until the time is over, and prints what came.
async fn ask(asked: &Asked) -> Result<(), Failed> {
    let key = Environment.variable(KEY).unwrap_or_default();
    let (language, code, prints) = asked.payload.code();
    let body = serde_json::json!({
        "language": language, "code": code, "template": asked.template,
    });
    let wanted = Wanted {
        to: asked.to.clone(),
        key: key.to_string_lossy().into_owned(),
        body: Bytes::from(body.to_string()),
        prints,
    };
    let start = Instant::now();
    let begin = start + asked.warm_up;
    let end = begin + asked.time;
    let users = (0..asked.users).map(|number| {
        let wanted = wanted.clone();
        let pace = Pace::of(asked, number, start);
        tokio::spawn(async move { wanted.ask(begin, end, pace).await })
    });
    let users: Vec<_> = users.collect();
    tokio::time::sleep_until(begin.into()).await;
    let cpu = used();
    let mut all = Seen::default();
    for user in users {
        let seen = user.await?;
        all.micros.extend(seen.micros);
        all.failures += seen.failures;
        all.unanswered += seen.unanswered;
    }
    // The last answers come after the end, and do not count.
    let whole = begin.elapsed();
    let elapsed = asked.time;
    let told = Told {
        micros: all.micros,
        failures: all.failures.into(),
        unanswered: all.unanswered.into(),
        elapsed_us: u64::try_from(elapsed.as_micros())?,
        share: used().saturating_sub(cpu).as_secs_f64() / whole.as_secs_f64(),
    };
    terminal::print(&serde_json::to_string(&told)?).map_err(|_| "nobody reads")?;
    Ok(())
}

/// The processor time of this process: fields 14 and 15 of its line, in hundredths of a second (proc_pid_stat(5);
/// Linux tells it in `USER_HZ`, which is 100 on every architecture that we run on).
pub(in crate::cmd::bench) fn used() -> Duration {
    let line = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = line.rsplit(')').next().unwrap_or_default();
    let fields = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// When a user asks, whatever the answers take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    next: Instant,
    every: Duration,
}

impl Pace {
    /// Of the user with this number, so that all of them together ask evenly; none where no rate is asked for.
    fn of(asked: &Asked, number: u32, start: Instant) -> Option<Self> {
        let gap = (asked.rate > 0).then(|| Duration::from_secs(1) / asked.rate)?;
        Some(Self {
            next: start + gap * number,
            every: gap * asked.users,
        })
    }

    /// The next moment.
    fn due(&mut self) -> Instant {
        let due = self.next;
        self.next += self.every;
        due
    }
}

/// What a user has seen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    micros: Vec<u64>,
    failures: u32,
    unanswered: u32,
}

impl Seen {
    fn add(&mut self, good: bool, in_time: bool, took: Duration) {
        match (good, in_time) {
            (true, true) => self
                .micros
                .push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            (true, false) => self.unanswered += 1,
            // A failure is one, whenever it is told.
            (false, _) => self.failures += 1,
        }
    }
}

/// A connection.
type Sender = client::SendRequest<Full<Bytes>>;

/// What a user asks, and what is to come.
#[derive(Clone)]
struct Wanted {
    to: String,
    key: String,
    body: Bytes,
    prints: &'static str,
}

impl Wanted {
    /// Asks again and again over one connection; what is answered between `begin` and `end` counts.
    ///
    /// With a pace, what one waits for an earlier answer counts: a server that falls behind is seen to.
    async fn ask(&self, begin: Instant, end: Instant, mut pace: Option<Pace>) -> Seen {
        let mut seen = Seen::default();
        let mut connection = None;
        loop {
            let asked = match &mut pace {
                None => Instant::now(),
                Some(pace) => pace.due(),
            };
            if asked >= end {
                return seen;
            }
            tokio::time::sleep_until(asked.into()).await;
            if Instant::now() >= end {
                seen.unanswered += 1;
                continue;
            }
            let good = self.once(&mut connection).await;
            let answered = Instant::now();
            if connection.is_none() {
                tokio::time::sleep(PAUSE).await;
            }
            if answered >= begin {
                seen.add(good, answered <= end, answered.duration_since(asked));
            }
        }
    }

    /// Asks once, over a new connection where there is none; whether the answer is good. A connection that broke is gone.
    async fn once(&self, connection: &mut Option<Sender>) -> bool {
        let there = connection.take().filter(|sender| !sender.is_closed());
        let answered = tokio::time::timeout(PATIENCE, self.answer(there)).await;
        let Ok(Ok((sender, status, body))) = answered else {
            return false;
        };
        *connection = Some(sender);
        self.is_good(status, &body)
    }

    async fn answer(&self, there: Option<Sender>) -> Result<(Sender, StatusCode, Bytes), Failed> {
        let mut sender = match there {
            Some(sender) => sender,
            None => self.open().await?,
        };
        let request = Request::post("/v1/execute")
            .header("host", "localhost")
            .header("x-api-key", &self.key)
            .body(Full::new(self.body.clone()))?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((sender, status, body))
    }

    async fn open(&self) -> Result<Sender, Failed> {
        let stream = TcpStream::connect(&self.to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn is_good(&self, status: StatusCode, body: &[u8]) -> bool {
        let answer = serde_json::from_slice::<Answer>(body);
        let good = |answer: &Answer| answer.stdout == self.prints && answer.exit_code == Some(0);
        status == StatusCode::OK && answer.as_ref().is_ok_and(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(users: u32, rate: u32) -> Asked {
        Asked {
            to: String::new(),
            template: "host".to_owned(),
            users,
            time: Duration::ZERO,
            warm_up: Duration::ZERO,
            payload: Payload::Hello,
            rate,
        }
    }

    #[test]
    fn users_with_a_rate_ask_evenly() {
        let start = Instant::now();
        let paces = (0..4).map(|number| Pace::of(&asked(4, 8), number, start));
        let mut paces: Vec<Pace> = paces.collect::<Option<_>>().unwrap();
        let mut due = Vec::new();
        for _ in 0..2 {
            due.extend(paces.iter_mut().map(|pace| pace.due() - start));
        }
        let even: Vec<_> = (0..8).map(|n| Duration::from_millis(125) * n).collect();
        assert_eq!(due, even);
        assert!(Pace::of(&asked(4, 0), 0, start).is_none());
    }

    #[test]
    fn what_comes_too_late_has_no_time_and_a_failure_is_one_whenever_it_comes() {
        let mut seen = Seen::default();
        for (good, in_time) in [(true, true), (true, false), (false, true), (false, false)] {
            seen.add(good, in_time, Duration::from_micros(7));
        }
        let wanted = Seen {
            micros: vec![7],
            failures: 2,
            unanswered: 1,
        };
        assert_eq!(seen, wanted);
    }

    #[tokio::test]
    async fn nobody_who_answers_is_a_failure() {
        // The port was somebody's a moment ago.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap().to_string();
        drop(listener);
        let wanted = Wanted {
            to,
            key: String::new(),
            body: Bytes::new(),
            prints: "",
        };
        let begin = Instant::now();
        let seen = wanted.ask(begin, begin + PAUSE * 3, None).await;
        assert!(seen.failures > 0 && seen.micros.is_empty(), "{seen:?}");
    }
}
