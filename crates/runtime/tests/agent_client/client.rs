//! The host's client and the real agent together.

use crate::support::{Agent, me};
use bytes::Bytes;
use soulbox_runtime::agent_client::{
    AgentClient, AgentError, AgentLimits, ProcessEnd, ProcessEvent, ProcessStream, StartRequest,
};
use soulbox_wire::envd::filesystem::FileType;
use soulbox_wire::envd::http::InitRequest;
use soulbox_wire::envd::process::{PtySize, Signal};
use std::time::Duration;

async fn client(agent: &Agent) -> AgentClient {
    let client = AgentClient::new(agent.socket());
    let init = InitRequest {
        default_user: Some(me()),
        ..InitRequest::default()
    };
    client.init(&init).await.unwrap();
    client.health().await.unwrap();
    client
}

fn shell(script: &str) -> StartRequest {
    let args = vec!["-c".to_owned(), script.to_owned()];
    StartRequest {
        cmd: "/bin/sh".to_owned(),
        args,
        ..StartRequest::default()
    }
}

/// Standard output, standard error or terminal, and the end.
async fn collect(stream: &mut ProcessStream) -> Result<(Vec<u8>, Vec<u8>, ProcessEnd), AgentError> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match stream
            .next()
            .await?
            .expect("the end comes before the end of the stream")
        {
            ProcessEvent::Stdout(bytes) | ProcessEvent::Terminal(bytes) => out.extend(bytes),
            ProcessEvent::Stderr(bytes) => err.extend(bytes),
            ProcessEvent::End(end) => return Ok((out, err, end)),
        }
    }
}

#[tokio::test]
async fn a_command_is_started_followed_and_ends() {
    let agent = Agent::start();
    let client = client(&agent).await;
    for _ in 0..3 {
        let mut stream = client
            .start(&shell("echo out; echo err >&2; exit 3"))
            .await
            .unwrap();
        assert!(stream.pid() > 0);
        let (out, err, end) = collect(&mut stream).await.unwrap();
        assert_eq!(
            (out.as_slice(), err.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
        let status = "exit status 3".to_owned();
        assert_eq!(
            end,
            ProcessEnd {
                exit_code: 3,
                signal: None,
                status
            }
        );
        assert_eq!(stream.next().await.unwrap(), None);
    }
}

#[tokio::test]
async fn input_reaches_a_command_and_signals_end_it() {
    let agent = Agent::start();
    let client = client(&agent).await;
    let request = StartRequest {
        stdin: true,
        ..shell("cat")
    };
    let mut stream = client.start(&request).await.unwrap();
    client
        .send_input(stream.pid(), b"one ", false)
        .await
        .unwrap();
    let mut input = client.stream_input(stream.pid(), false).await.unwrap();
    input.send(b"two ").await.unwrap();
    let long = vec![b'x'; 3_000_000];
    let mut follower = client.connect(stream.pid()).await.unwrap();
    let pid = stream.pid();
    let (sent, followed, collected) = tokio::join!(
        async {
            input.send(&long).await?;
            input.finish().await?;
            client.close_stdin(pid).await
        },
        collect(&mut follower),
        collect(&mut stream),
    );
    sent.unwrap();
    let (out, _, end) = followed.unwrap();
    assert!(out.ends_with(&long) && end.exit_code == 0);
    let (out, _, _) = collected.unwrap();
    assert_eq!(out, [b"one two ", long.as_slice()].concat());

    let mut stream = client.start(&shell("exec sleep 100")).await.unwrap();
    client.signal(stream.pid(), Signal::Kill).await.unwrap();
    let (_, _, end) = collect(&mut stream).await.unwrap();
    assert_eq!((end.exit_code, end.signal), (-1, Some(9)));
    let error = client.signal(stream.pid(), Signal::Kill).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn a_terminal_is_resized() {
    let agent = Agent::start();
    let client = client(&agent).await;
    let script = "stty size; read x; stty size; tty -s && echo terminal";
    let pty = Some(PtySize { cols: 90, rows: 20 });
    let mut stream = client
        .start(&StartRequest {
            pty,
            ..shell(script)
        })
        .await
        .unwrap();
    let Some(ProcessEvent::Terminal(first)) = stream.next().await.unwrap() else {
        panic!()
    };
    assert_eq!(first, "20 90\r\n");
    client
        .resize(stream.pid(), PtySize { cols: 70, rows: 10 })
        .await
        .unwrap();
    client.send_input(stream.pid(), b"\n", true).await.unwrap();
    let (out, _, end) = collect(&mut stream).await.unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("10 70\r\n") && out.contains("terminal"),
        "{out}"
    );
    assert_eq!(end.exit_code, 0);
}

#[tokio::test]
async fn a_time_limit_ends_a_command() {
    let agent = Agent::start();
    let client = client(&agent).await;
    let timeout = Some(Duration::from_millis(100));
    let request = StartRequest {
        timeout,
        ..shell("echo before; sleep 100")
    };
    let mut stream = client.start(&request).await.unwrap();
    assert_eq!(
        stream.next().await.unwrap(),
        Some(ProcessEvent::Stdout("before\n".into()))
    );
    let error = stream.next().await.unwrap_err();
    assert!(error.is_deadline(), "{error}");
}

#[tokio::test]
async fn files_travel_both_ways() {
    let agent = Agent::start();
    let client = client(&agent).await;
    let content = Bytes::from(vec![7; 300_000]);
    let path = agent.path("a dir/ä&b");
    let written = client
        .write_file(&path, None, content.clone())
        .await
        .unwrap();
    assert_eq!(
        (written.path.as_str(), written.name.as_str()),
        (path.as_str(), "ä&b")
    );
    let stream = client.read_file(&path, None, 1_000_000).await.unwrap();
    assert_eq!(stream.size(), Some(300_000));
    assert_eq!(stream.read_to_end().await.unwrap(), content);

    let reader = std::io::Cursor::new(content.to_vec());
    client
        .write_file_from(&agent.path("b"), None, reader, None)
        .await
        .unwrap();
    assert_eq!(std::fs::read(agent.path("b")).unwrap(), content);
    let reader = std::io::Cursor::new(content.to_vec());
    let short = client
        .write_file_from(&agent.path("c"), None, reader, Some(400_000))
        .await;
    assert!(matches!(short, Err(AgentError::Source(_))), "{short:?}");

    let error = client.read_file(&path, None, 299_999).await.unwrap_err();
    assert!(matches!(error, AgentError::TooLarge { .. }), "{error}");
    let error = client
        .read_file(&agent.path("none"), None, 1)
        .await
        .unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let boot = client
        .read_file("/proc/sys/kernel/random/boot_id", None, 100)
        .await
        .unwrap();
    assert_eq!(boot.read_to_end().await.unwrap().len(), 37);
}

#[tokio::test]
async fn names_are_listed_made_moved_and_removed() {
    let agent = Agent::start();
    let client = client(&agent).await;
    let (made, file) = (agent.path("d/e"), agent.path("d/e/f"));
    assert_eq!(
        client.make_dir(&made, None).await.unwrap().kind,
        FileType::Directory
    );
    client
        .write_file(&file, None, Bytes::from_static(b"hello"))
        .await
        .unwrap();
    assert_eq!(client.stat(&file, None).await.unwrap().size, 5);
    let names = client.list_dir(&agent.path("d"), 2, None).await.unwrap();
    let names: Vec<_> = names.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["e", "f"]);
    let moved = client
        .move_to(&file, &agent.path("x/y"), None)
        .await
        .unwrap();
    assert_eq!(moved.path, agent.path("x/y"));
    client.remove(&agent.path("x"), None).await.unwrap();
    assert!(
        client
            .stat(&agent.path("x"), None)
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test]
async fn a_dead_agent_is_told_though_connections_were_kept() {
    let agent = Agent::start();
    let client = client(&agent).await;
    rustix::process::kill_process(agent.pid(), rustix::process::Signal::KILL).unwrap();
    // When it is a zombie, its connections are closed.
    let stat = format!("/proc/{}/stat", agent.pid().as_raw_nonzero());
    while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let error = client.health().await.unwrap_err();
    assert!(matches!(error, AgentError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn an_agent_that_lies_or_stalls_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("liar.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let answers: [&[u8]; 7] = [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/connect+json\r\n\r\n\0\xff\xff\xff\xff",
        b"HTTP/1.1 200 OK\r\n\r\n\x07\0\0\0\x02{}",
        b"HTTP/1.1 200 OK\r\n\r\n\0\0\0\0\x02{}",
        b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno",
        b"",
    ];
    tokio::spawn(async move {
        for answer in answers {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
        }
    });
    let limits = AgentLimits {
        header: Duration::from_millis(50),
        ..AgentLimits::default()
    };
    let client = AgentClient::with_limits(socket, limits);
    for _ in answers {
        let error = client.start(&shell("true")).await.unwrap_err();
        println!("{error}");
    }
}
