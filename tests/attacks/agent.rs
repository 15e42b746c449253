//! An agent that was replaced by a hostile one, and answers the engine whatever it likes.
//!
//! The engine's client asks; each call must end with an error, in bounded time and memory. The
//! control of each is the same call to the same server when it answers honestly.

mod lies;

use crate::ground::Aftermath;
use crate::heartbeat::{Heartbeat, LONGEST};
use crate::report::{Made, Report};
use lies::{Answer, Call, LIES, STREAM, honest};
use soulbox_runtime::agent_client::{AgentClient, AgentLimits, StartRequest};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// Bounds small enough for a test; the defaults are in seconds.
fn limits() -> AgentLimits {
    AgentLimits {
        connect: Duration::from_millis(300),
        header: Duration::from_millis(300),
        unary: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        ..AgentLimits::default()
    }
}

use Answer::{Drips, Endless, Frames, Long, Says, Stalls};
use Call::{Health, List, Read, Start, Stat, Write};

/// Serves `answer` to every connection.
fn serve(socket: &Path, answer: Answer) -> JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(lie(stream, answer));
        }
    })
}

async fn lie(mut stream: UnixStream, answer: Answer) -> std::io::Result<()> {
    let _ = stream.read(&mut [0; 4096]).await?;
    match answer {
        Says(text) => stream.write_all(text).await,
        Stalls(text) => {
            stream.write_all(text).await?;
            std::future::pending().await
        }
        Endless(head, piece) => {
            stream.write_all(head).await?;
            let many = piece.repeat(256);
            loop {
                stream.write_all(&many).await?;
            }
        }
        Drips(head, piece) => {
            stream.write_all(head).await?;
            for byte in piece.iter().cycle() {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
        Frames(frames) => {
            stream.write_all(STREAM).await?;
            for (flags, text) in frames {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                stream.write_all(&[*flags]).await?;
                stream.write_all(&length.to_be_bytes()).await?;
                stream.write_all(text.as_bytes()).await?;
            }
            Ok(())
        }
        Long(head, length) => {
            stream.write_all(head).await?;
            let piece = [b' '; 65536];
            let mut left = length;
            while left > 0 {
                let now = left.min(piece.len());
                stream.write_all(&piece[..now]).await?;
                left -= now;
            }
            Ok(())
        }
    }
}

/// Makes a call: its error in words, or nothing when the answer was believed.
async fn ask(client: &AgentClient, call: Call) -> Option<String> {
    let told = match call {
        Health => client.health().await,
        Start => start(client).await,
        Stat => client.stat("/x", None).await.map(drop),
        List => client.list_dir("/x", 1, None).await.map(drop),
        Write => client.write_file("/x", None, "x".into()).await.map(drop),
        Read => match client.read_file("/x", None, 1000).await {
            Ok(file) => file.read_to_end().await.map(drop),
            Err(error) => Err(error),
        },
    };
    told.err().map(|error| error.to_string())
}

/// Starts a command and follows it to its end.
async fn start(client: &AgentClient) -> Result<(), soulbox_runtime::agent_client::AgentError> {
    let request = StartRequest {
        cmd: "true".to_owned(),
        timeout: Some(Duration::from_millis(500)),
        ..StartRequest::default()
    };
    let mut stream = client.start(&request).await?;
    use soulbox_runtime::agent_client::{AgentError, ProcessEvent};
    loop {
        match stream.next().await? {
            Some(ProcessEvent::End(_)) => return Ok(()),
            Some(_) => {}
            None => return Err(AgentError::Protocol("no end was told".to_owned())),
        }
    }
}

/// Resident memory of this process, in MiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

/// The most that one lie may cost: the largest listing that is accepted, twice.
const MEMORY_MIB: u64 = 256;
/// The longest that a call may take: its limits one after the other, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_agent_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let heartbeat = Heartbeat::start();
    let mut report = Report::new("agents");
    let mut problems = Vec::new();
    let before = memory();
    for call in [Health, Start, Stat, List, Read, Write] {
        let socket = directory.path().join(format!("{call:?}"));
        let server = serve(&socket, honest(call));
        let client = AgentClient::with_limits(socket, limits());
        if let Some(error) = ask(&client, call).await {
            problems.push(format!("the control of {call:?} failed: {error}"));
        }
        server.abort();
    }
    for (number, (lie, calls, answer)) in LIES.iter().enumerate() {
        let socket = directory.path().join(number.to_string());
        let server = serve(&socket, *answer);
        for call in *calls {
            let client = AgentClient::with_limits(socket.clone(), limits());
            let begin = Instant::now();
            let told = tokio::time::timeout(PATIENCE, ask(&client, *call)).await;
            let told = told.unwrap_or_else(|_| {
                problems.push(format!("{call:?}: {lie}: no end"));
                Some("no end".to_owned())
            });
            let Some(refusal) = told else {
                problems.push(format!("{call:?}: {lie}: believed"));
                continue;
            };
            // Control characters are taken out at the door, where it is shown.
            if refusal.len() > 1000 {
                problems.push(format!(
                    "{call:?}: {lie}: an error of {} bytes",
                    refusal.len()
                ));
            }
            if begin.elapsed() > PATIENCE {
                problems.push(format!("{call:?}: {lie}: took {:?}", begin.elapsed()));
            }
            report.add(Made {
                tries: format!("{call:?}: {lie}"),
                user: "agent",
                refusal: refusal.chars().take(100).collect(),
                control: "the same call believes an honest answer",
            });
        }
        server.abort();
    }
    let grown = memory() - before;
    assert!(grown < MEMORY_MIB, "the client took {grown} MiB");
    let aftermath = Aftermath {
        heartbeat: heartbeat.stop(),
        neighbour: Duration::ZERO,
    };
    assert!(aftermath.heartbeat < LONGEST);
    report.close(&aftermath);
    assert!(problems.is_empty(), "agents:\n  {}", problems.join("\n  "));
}
