//! What the way to a port of a sandbox costs: requests to a small server, through the real `soulbox serve`
//! to a sandbox, through a plain reverse proxy, and directly.
//!
//! Each part is a process of its own and the same program: the server, the proxy, who asks. They take turns,
//! so that a moment of a slower machine is one of all of them.

pub(super) mod part;

use super::Common;
use super::report::Report;
use crate::cmd::serve::Credentials;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use http::{HeaderMap, HeaderName, HeaderValue};
use part::{Load, Part};
use soulbox_runtime::agent_client::{
    AgentClient, AgentLimits, Door, ProcessEvent, ProcessStream, StartRequest,
};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const EXAMPLES: &str = "\
Examples:
  soulbox bench proxy
  soulbox bench proxy --connections 8 --json > proxy.json";

/// Where a sandbox finds this program.
const INSIDE: &str = "/tmp/soulbox-bench";

/// Flags of `soulbox bench proxy`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many connections ask at once
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// How many seconds each turn takes
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many turns each way gets
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
    /// Be one of the parts
    #[arg(long, hide = true)]
    part: Option<Part>,
    /// Whom the proxy and who asks turn to
    #[arg(long, hide = true, default_value = "")]
    to: String,
    /// The headers that who asks brings, as JSON
    #[arg(long, hide = true, default_value = "{}")]
    headers: String,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Args {
    /// Is one of the parts, if it is to be.
    pub(super) fn be_part(&self) -> Option<Result<(), Failure>> {
        let part = self.part?;
        let load = Load {
            to: self.to.clone(),
            headers: self.headers.clone(),
            connections: self.connections,
            seconds: self.seconds,
        };
        Some(part::be(part, load).map_err(|error| failed("be a part of the bench", &error)))
    }
}

pub(super) async fn measure(args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("proxy", "host");
    let program = std::env::current_exe().map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    let backend = Running::start(&program, Part::Server, "").await?;
    let plain = Running::start(&program, Part::Proxy, &backend.address).await?;
    let served = Served::start(&program).await?;
    let ways = [
        ("directly", backend.address.clone(), "{}".to_owned()),
        (
            "through a plain reverse proxy",
            plain.address.clone(),
            "{}".to_owned(),
        ),
        (
            "through soulbox to a sandbox",
            served.address.clone(),
            served.headers.clone(),
        ),
    ];
    let progress = Progress::bar("asking", u64::from(args.turns) * ways.len() as u64);
    let mut rates: [Vec<f64>; 3] = Default::default();
    for _ in 0..args.turns {
        for ((_, to, headers), rates) in ways.iter().zip(&mut rates) {
            rates.push(ask(&program, args, to, headers).await?);
            progress.advance(1);
        }
    }
    drop(progress);
    served.stop().await;
    let [direct, plain, soulbox] = rates.map(median);
    for ((way, ..), rate) in ways.iter().zip([direct, plain, soulbox]) {
        report.figure(format!("requests {way}"), rate, "/s");
    }
    report.figure(
        "share of the plain reverse proxy's",
        100.0 * soulbox / plain,
        "%",
    );
    Ok(report.end())
}

/// One turn: requests per second.
async fn ask(program: &Path, args: &Args, to: &str, headers: &str) -> Result<f64, Failure> {
    let (connections, seconds) = (args.connections.to_string(), args.seconds.to_string());
    let output = command(program, Part::Load)
        .args(["--to", to, "--headers", headers])
        .args(["--connections", &connections, "--seconds", &seconds])
        .stdout(Stdio::piped())
        .output()
        .await
        .map_err(|error| failed("start who asks", &error))?;
    let told = String::from_utf8_lossy(&output.stdout);
    told.trim().parse().map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let what = format!("cannot measure requests to {to}: {}{said}", told.trim());
        Failure::new(Exit::INTERNAL, what)
    })
}

/// The middle one; 0 of none.
fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the parts are processes of their own"
)]
fn command(program: &Path, part: Part) -> Command {
    let mut command = Command::new(program);
    command.args(["bench", "proxy", "--part", part.word()]);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// A part that listens.
struct Running {
    _child: Child,
    address: String,
}

impl Running {
    async fn start(program: &Path, part: Part, to: &str) -> Result<Self, Failure> {
        let mut child = command(program, part)
            .args(["--to", to])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed("start a part of the bench", &error))?;
        let address = first_line(&mut child, "").await?;
        Ok(Self {
            _child: child,
            address,
        })
    }
}

/// The rest of the first line of a child's output that begins so.
pub(super) async fn first_line(child: &mut Child, before: &str) -> Result<String, Failure> {
    let ended = || {
        failed(
            "hear of a part of the bench",
            &io::Error::from(io::ErrorKind::UnexpectedEof),
        )
    };
    let stdout = child.stdout.take().ok_or_else(ended)?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.map_err(|_| ended())? {
        if let Some(rest) = line.strip_prefix(before) {
            let rest = rest.trim().to_owned();
            // Read on: a server whose reader is gone before it has said everything ends.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(rest);
        }
    }
    Err(ended())
}

/// A server of its own, with a sandbox in which the small server listens.
struct Served {
    child: Child,
    data_dir: PathBuf,
    address: String,
    headers: String,
    _inside: ProcessStream,
}

impl Served {
    #[allow(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "the server is a process of its own"
    )]
    async fn start(program: &Path) -> Result<Self, Failure> {
        let data_dir = std::env::temp_dir().join(format!("soulbox-bench-{}", std::process::id()));
        let mut command = Command::new(program);
        command.args([
            "serve",
            "--listen=127.0.0.1:0",
            "--end-on-stop",
            "--allow-host-template",
            "--data-dir",
        ]);
        let mut child = command
            .arg(&data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("start the server", &error))?;
        let address = first_line(&mut child, "SoulBox listens on http://").await?;
        let credentials = Credentials::read(&data_dir)?;
        let key = credentials.and_then(|credentials| credentials.api_key);
        let key = key.ok_or_else(|| Failure::new(Exit::INTERNAL, "the server made no key"))?;
        let create = part::create(&address, &key).await;
        let (id, token) = create.map_err(|error| failed("make a sandbox", &*error))?;
        let inside = serve_inside(program, &address, &id, &token).await?;
        let (port, stream) = inside;
        let headers = serde_json::json!({ "e2b-sandbox-id": id, "e2b-sandbox-port": port });
        Ok(Self {
            child,
            data_dir,
            address,
            headers: headers.to_string(),
            _inside: stream,
        })
    }

    async fn stop(mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.child.wait().await;
        }
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

/// Starts the small server in a sandbox and hears on which port it listens.
async fn serve_inside(
    program: &Path,
    address: &str,
    id: &str,
    token: &str,
) -> Result<(String, ProcessStream), Failure> {
    let pairs = [
        ("e2b-sandbox-id", id),
        ("e2b-sandbox-port", "49983"),
        ("x-access-token", token),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| {
        Some((
            HeaderName::from_static(name),
            HeaderValue::from_str(value).ok()?,
        ))
    });
    let door = Door {
        authority: address.to_owned(),
        headers: HeaderMap::from_iter(pairs),
        connect: None,
    };
    let agent = AgentClient::through(door, AgentLimits::default());
    let wrong = |error: &dyn std::error::Error| failed("prepare the sandbox", error);
    let content = std::fs::read(program).map_err(|error| wrong(&error))?;
    let written = agent.write_file(INSIDE, Some("root"), content.into()).await;
    written.map_err(|error| wrong(&error))?;
    let request = StartRequest {
        cmd: "/bin/sh".to_owned(),
        args: [
            "-c",
            "chmod 755 \"$0\" && exec \"$0\" bench proxy --part server",
            INSIDE,
        ]
        .map(str::to_owned)
        .to_vec(),
        user: Some("root".to_owned()),
        ..StartRequest::default()
    };
    let mut stream = agent.start(&request).await.map_err(|error| wrong(&error))?;
    let mut said = String::new();
    while !said.contains('\n') {
        match stream.next().await.map_err(|error| wrong(&error))? {
            Some(ProcessEvent::Stdout(bytes) | ProcessEvent::Stderr(bytes)) => {
                said.push_str(&String::from_utf8_lossy(&bytes));
            }
            Some(ProcessEvent::End(_)) | None => {
                let what = format!("the server in the sandbox ended: {said}");
                return Err(Failure::new(Exit::INTERNAL, what));
            }
            Some(_) => {}
        }
    }
    let port = said
        .trim()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    Ok((port, stream))
}

pub(super) fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::INTERNAL, format!("cannot {what}")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_turn_counts() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }
}
