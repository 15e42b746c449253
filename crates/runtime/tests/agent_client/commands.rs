//! Recorded commands: the host's client and the real agent together.

use crate::support::{Agent, me};
use rustix::fd::{AsFd as _, OwnedFd};
use soulbox_runtime::agent_client::{
    AgentClient, CommandEvents, CommandSender, OutputFile, OutputStream,
};
use soulbox_wire::commands::{End, Event, Request, Start};
use soulbox_wire::connect::Code;
use soulbox_wire::envd::http::InitRequest;
use soulbox_wire::envd::process::{ProcessConfig, ProcessSelector};

struct Host {
    client: AgentClient,
    sender: CommandSender,
    events: CommandEvents,
}

impl Host {
    async fn of(agent: &Agent) -> Self {
        let client = AgentClient::new(agent.socket());
        let init = InitRequest {
            default_user: Some(me()),
            ..InitRequest::default()
        };
        client.init(&init).await.unwrap();
        let (sender, events) = client.commands().await.unwrap();
        Self {
            client,
            sender,
            events,
        }
    }

    async fn send(&self, request: Request) {
        self.sender.send(&request, None).await.unwrap();
    }

    async fn start(&self, start: Start, room: u64) -> OutputFile {
        let file = OutputFile::new(room).unwrap();
        let request = Request::Start(Box::new(start));
        self.sender
            .send(&request, Some(file.as_fd()))
            .await
            .unwrap();
        file
    }

    async fn event(&mut self) -> Event {
        self.events.next().await.unwrap().0
    }

    async fn end(&mut self) -> End {
        loop {
            if let Event::Ended { end, .. } = self.event().await {
                return end;
            }
        }
    }

    async fn recall(&mut self) -> Vec<(Event, Option<OwnedFd>)> {
        self.send(Request::Recall).await;
        let mut known = Vec::new();
        loop {
            match self.events.next().await.unwrap() {
                (Event::Recalled, _) => return known,
                one @ (Event::Known { .. }, _) => known.push(one),
                _ => {}
            }
        }
    }
}

fn shell(id: &str, script: &str) -> Start {
    Start {
        id: id.to_owned(),
        process: ProcessConfig {
            cmd: "/bin/sh".to_owned(),
            args: vec!["-c".to_owned(), script.to_owned()],
            ..ProcessConfig::default()
        },
        ..Start::default()
    }
}

fn text(file: &OutputFile, stream: OutputStream) -> String {
    String::from_utf8(file.read(stream, 0, usize::MAX).unwrap()).unwrap()
}

#[tokio::test]
async fn a_command_is_recorded_to_its_end() {
    let agent = Agent::start();
    let mut host = Host::of(&agent).await;
    let file = host
        .start(shell("c1", "echo out; echo err >&2; exit 3"), 64)
        .await;
    let Event::Started { id, pid } = host.event().await else {
        panic!("it was not started");
    };
    assert!(id == "c1" && pid > 0);
    let end = host.end().await;
    assert_eq!((end.end.exit_code, end.end.exited), (3, true));
    assert_eq!(text(&file, OutputStream::Stdout), "out\n");
    assert_eq!(text(&file, OutputStream::Stderr), "err\n");
}

#[tokio::test]
async fn an_id_is_started_once() {
    let agent = Agent::start();
    let mut host = Host::of(&agent).await;
    let marker = agent.path("runs");
    let script = format!("echo run >> '{marker}'");
    for _ in 0..2 {
        host.start(shell("same", &script), 64).await;
    }
    host.send(Request::Recall).await;
    let mut refused = None;
    let mut ended = false;
    while refused.is_none() || !ended {
        match host.event().await {
            Event::Refused { error, .. } => refused = Some(error.code),
            Event::Ended { .. } => ended = true,
            _ => {}
        }
    }
    assert_eq!(refused, Some(Code::AlreadyExists));
    assert_eq!(std::fs::read_to_string(&marker).unwrap(), "run\n");
}

#[tokio::test]
async fn output_and_end_outlive_the_connection() {
    let agent = Agent::start();
    let mut host = Host::of(&agent).await;
    let go = agent.path("go");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &go,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let script = format!("echo before; cat '{go}'; echo after; exit 7");
    host.start(shell("c1", &script), 1024).await;
    assert!(matches!(host.event().await, Event::Started { .. }));
    drop(host);
    std::fs::write(&go, "during\n").unwrap();
    let mut host = Host::of(&agent).await;
    let known = host.recall().await;
    let [(Event::Known { id, end, .. }, Some(file))] = known.as_slice() else {
        panic!("unexpected: {known:?}");
    };
    assert_eq!(id, "c1");
    let file = OutputFile::adopt(rustix::io::dup(file).unwrap(), 1024).unwrap();
    let end = match end {
        Some(end) => end.clone(),
        None => host.end().await,
    };
    assert_eq!(end.end.exit_code, 7);
    assert_eq!(text(&file, OutputStream::Stdout), "before\nduring\nafter\n");
    host.send(Request::Forget { id: id.clone() }).await;
    assert!(host.recall().await.is_empty());
}

#[tokio::test]
async fn what_has_no_room_is_counted() {
    let agent = Agent::start();
    let mut host = Host::of(&agent).await;
    let file = host
        .start(shell("c1", "head -c 300000 /dev/zero; echo end >&2"), 1000)
        .await;
    host.end().await;
    let [stdout, stderr] = file.sizes();
    assert_eq!((stdout.kept, stdout.total), (1000, 300_000));
    assert_eq!((stderr.kept, stderr.total), (4, 4));
}

#[tokio::test]
async fn growth_is_told_to_those_who_follow() {
    let agent = Agent::start();
    let mut host = Host::of(&agent).await;
    let start = Start {
        stdin: true,
        ..shell("c1", "cat")
    };
    let file = host.start(start, 1024).await;
    assert!(matches!(host.event().await, Event::Started { .. }));
    let id = "c1".to_owned();
    host.send(Request::Follow { id }).await;
    let selector = ProcessSelector::tag("c1");
    let mut input = host
        .client
        .stream_input_to(selector.clone(), false)
        .await
        .unwrap();
    input.send(b"hello").await.unwrap();
    input.finish().await.unwrap();
    assert!(matches!(host.event().await, Event::Grew { .. }));
    assert_eq!(text(&file, OutputStream::Stdout), "hello");
    host.client.close_stdin_of(selector).await.unwrap();
    assert_eq!(host.end().await.end.exit_code, 0);
}

#[tokio::test]
async fn signals_reach_a_group_and_time_limits_are_told() {
    let agent = Agent::start();
    let mut host = Host::of(&agent).await;
    host.start(shell("c1", "sleep 1000 | sleep 1000"), 64).await;
    assert!(matches!(host.event().await, Event::Started { .. }));
    let signal = |call, id: &str, signal| Request::Signal {
        call,
        id: id.to_owned(),
        signal,
        group: true,
    };
    host.send(signal(1, "c1", 15)).await;
    let mut done = None;
    let end = loop {
        match host.event().await {
            Event::Done { call, error } => done = Some((call, error)),
            Event::Ended { end, .. } => break end,
            other => panic!("unexpected: {other:?}"),
        }
    };
    assert_eq!(done, Some((1, None)));
    assert_eq!(end.end.status, "signal: terminated");
    for (call, id, number) in [(2, "c1", 15), (3, "none", 15)] {
        host.send(signal(call, id, number)).await;
        let Event::Done {
            error: Some(error), ..
        } = host.event().await
        else {
            panic!("it was done");
        };
        assert_eq!(error.code, Code::NotFound);
    }
    let limited = Start {
        timeout_ms: Some(20),
        ..shell("c2", "sleep 1000")
    };
    host.start(limited, 64).await;
    let end = host.end().await;
    assert!(end.timed_out && !end.end.exited);
}

#[tokio::test]
async fn a_command_that_cannot_start_is_refused() {
    let agent = Agent::start();
    let mut host = Host::of(&agent).await;
    let mut start = shell("c1", "");
    start.process.cmd = "/not/there".to_owned();
    host.start(start.clone(), 64).await;
    let Event::Refused { error, .. } = host.event().await else {
        panic!("it was started");
    };
    assert_eq!(error.code, Code::InvalidArgument);
    // Without its file, too; and neither is known afterwards.
    host.send(Request::Start(Box::new(start))).await;
    assert!(matches!(host.event().await, Event::Refused { .. }));
    assert!(host.recall().await.is_empty());
}
