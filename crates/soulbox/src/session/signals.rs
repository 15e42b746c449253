//! Ctrl-C and its kin, passed on to a command.

use crate::exit::Exit;
use soulbox_runtime::agent_client::{AgentClient, ProcessEnd, StartRequest};
use soulbox_wire::envd::process::Signal as Wire;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Passes signals on. The first Ctrl-C interrupts the command, the second kills it, with the third this
/// program ends at once. Never returns: the command's end ends everything.
pub(super) async fn pass(client: &AgentClient, pid: u32) -> ProcessEnd {
    let listened = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    );
    if let (Ok(mut interrupts), Ok(mut terminations), Ok(mut hangups)) = listened {
        let mut times = 0;
        while let Some(is_interrupt) = next(&mut interrupts, &mut terminations, &mut hangups).await
        {
            times += 1;
            match (times, is_interrupt) {
                (1, true) => interrupt(client, pid).await,
                (1, false) => drop(client.signal(pid, Wire::Term).await),
                (2, _) => drop(client.signal(pid, Wire::Kill).await),
                _ => std::process::exit(Exit::KILLED.code().into()),
            }
        }
    }
    std::future::pending().await
}

/// The next signal; whether it was Ctrl-C.
async fn next(
    interrupts: &mut Signal,
    terminations: &mut Signal,
    hangups: &mut Signal,
) -> Option<bool> {
    tokio::select! {
        came = interrupts.recv() => came.map(|()| true),
        came = terminations.recv() => came.map(|()| false),
        came = hangups.recv() => came.map(|()| false),
    }
}

/// Interrupts the command and its children, as a terminal does. The protocol has no word for that signal:
/// a command inside sends it. Where that fails, it is asked to end.
async fn interrupt(client: &AgentClient, pid: u32) {
    let request = StartRequest {
        cmd: "/bin/sh".to_owned(),
        args: vec![
            "-c".to_owned(),
            format!("kill -s INT -- -{pid} 2>/dev/null || kill -s INT {pid}"),
        ],
        user: Some("root".to_owned()),
        ..StartRequest::default()
    };
    let sent = async {
        let mut stream = client.start(&request).await.ok()?;
        while let Some(event) = stream.next().await.ok()? {
            if let soulbox_runtime::agent_client::ProcessEvent::End(end) = event {
                return (end.exit_code == 0).then_some(());
            }
        }
        None
    };
    if sent.await.is_none() {
        let _ = client.signal(pid, Wire::Term).await;
    }
}
