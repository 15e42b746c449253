//! One command, from start to end.

use crate::execute::ExecuteError;
use crate::execute::guest::{Command, Control, End, Event, Events, Guest, GuestError};
use crate::execute::outcome::Facts;
use crate::execute::output::{Channel, Sink};
use crate::execute::transfer;
use crate::execute::watch::{Stop, Watch};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much input is sent at once. Linux's pipes hold as much by default.
const INPUT: usize = 64 * 1024;

/// Starts `command`, feeds it, passes its output on and waits for its end.
pub(super) async fn run(
    guest: &impl Guest,
    command: &Command,
    stdin: Option<impl AsyncRead + Send + Unpin>,
    sink: &mut impl Sink,
    watch: &mut Watch<'_>,
) -> Result<Facts, ExecuteError> {
    let command = Command {
        stdin: stdin.is_some(),
        ..command.clone()
    };
    let started = watch.guard(start(guest, command)).await;
    let Some(started) = started else {
        return Ok(Facts::before(watch.stopped()));
    };
    let (mut events, control) = started?;
    let ended = follow(&mut events, &control, stdin, sink, watch).await;
    let ended = match ended {
        Ok(Some(end)) => Ok(Some(end)),
        Ok(None) => {
            // By the host first: the agent may have been taken over. Its answer does not matter:
            // whoever owns the sandbox ends it when this fails.
            if guest.kill_all().await.is_ok() {
                watch.note_killed();
            }
            let _ = tokio::time::timeout(watch.drain(), control.kill()).await;
            rest(&mut events, sink, watch).await.map(|()| None)
        }
        Err(error) => Err(error),
    };
    conclude(guest, watch.stopped(), ended).await
}

/// Starts it. Files that could not go with it go before it, which tells why one cannot be written.
async fn start<G: Guest>(
    guest: &G,
    mut command: Command,
) -> Result<(G::Events, G::Control), ExecuteError> {
    let mut started = guest.start(&command).await;
    if matches!(started, Err(GuestError::NotCarried)) {
        let files = std::mem::take(&mut command.files);
        transfer::write_all(guest, command.user.as_deref(), files).await?;
        started = guest.start(&command).await;
    }
    started.map_err(|source| ExecuteError::Guest {
        doing: format!(
            "starting {}",
            command.words.first().map_or("", String::as_str)
        ),
        source,
    })
}

/// Passes output on until the process ends; none when the run was ended from outside.
async fn follow(
    events: &mut impl Events,
    control: &impl Control,
    stdin: Option<impl AsyncRead + Send + Unpin>,
    sink: &mut impl Sink,
    watch: &mut Watch<'_>,
) -> Result<Option<End>, ExecuteError> {
    let mut feed = std::pin::pin!(feed(stdin, control));
    let mut fed = false;
    loop {
        // The next event is waited for as a whole: taking it apart could lose output.
        let mut next = std::pin::pin!(events.next());
        let event = loop {
            let step = watch.guard(async {
                tokio::select! {
                    event = &mut next => Some(event),
                    () = &mut feed, if !fed => None,
                }
            });
            match step.await {
                None => return Ok(None),
                Some(Some(event)) => break event,
                Some(None) => fed = true,
            }
        };
        match event {
            Ok(Event::Stdout(bytes)) => pass(Channel::Stdout, bytes, sink, watch).await?,
            Ok(Event::Stderr(bytes)) => pass(Channel::Stderr, bytes, sink, watch).await?,
            Ok(Event::End(end)) => return Ok(Some(end)),
            Err(source) => return Err(lost(source)),
        }
        if watch.stopped().is_some() {
            return Ok(None);
        }
    }
}

/// Passes on as much of a piece of output as the limit lets through.
async fn pass(
    channel: Channel,
    mut bytes: Bytes,
    sink: &mut impl Sink,
    watch: &mut Watch<'_>,
) -> Result<(), ExecuteError> {
    bytes.truncate(watch.count(channel, bytes.len()));
    if watch.stopped().is_some() {
        return last(channel, bytes, sink, watch.drain()).await;
    }
    // A reader that stopped reading must not keep a run alive past its time.
    match watch.guard(sink.write(channel, bytes)).await {
        Some(written) => written.map_err(ExecuteError::Sink),
        None => Ok(()),
    }
}

/// Passes on what comes after the run was ended; a reader that does not take it in time loses it.
async fn last(
    channel: Channel,
    bytes: Bytes,
    sink: &mut impl Sink,
    time: Duration,
) -> Result<(), ExecuteError> {
    let written = tokio::time::timeout(time, sink.write(channel, bytes)).await;
    written.unwrap_or(Ok(())).map_err(ExecuteError::Sink)
}

/// Passes on what was printed before the process was ended, for a moment.
async fn rest(
    events: &mut impl Events,
    sink: &mut impl Sink,
    watch: &mut Watch<'_>,
) -> Result<(), ExecuteError> {
    let drain = watch.drain();
    let all = async {
        loop {
            let (channel, mut bytes) = match events.next().await {
                Ok(Event::Stdout(bytes)) => (Channel::Stdout, bytes),
                Ok(Event::Stderr(bytes)) => (Channel::Stderr, bytes),
                Ok(Event::End(_)) | Err(_) => return Ok(()),
            };
            bytes.truncate(watch.count(channel, bytes.len()));
            sink.write(channel, bytes)
                .await
                .map_err(ExecuteError::Sink)?;
        }
    };
    tokio::time::timeout(drain, all).await.unwrap_or(Ok(()))
}

/// Sends input until there is no more, or until nobody reads it.
async fn feed(stdin: Option<impl AsyncRead + Send + Unpin>, control: &impl Control) {
    let Some(mut stdin) = stdin else {
        return;
    };
    loop {
        let mut piece = BytesMut::with_capacity(INPUT);
        match stdin.read_buf(&mut piece).await {
            Ok(length) if length > 0 => {}
            _ => break,
        }
        // A program that ended or closed its input is no failure: `head` does so.
        if control.write(piece.freeze()).await.is_err() {
            return;
        }
    }
    let _ = control.close().await;
}

fn lost(source: GuestError) -> ExecuteError {
    ExecuteError::Guest {
        doing: "running the program".to_owned(),
        source,
    }
}

/// Asks the sandbox what else is known about the end.
async fn conclude(
    guest: &impl Guest,
    stop: Option<Stop>,
    ended: Result<Option<End>, ExecuteError>,
) -> Result<Facts, ExecuteError> {
    let mut facts = Facts {
        stop,
        end: None,
        out_of_memory: false,
        disk_full: false,
    };
    if stop.is_some() {
        // A sink that failed is told even then: whoever reads may be gone.
        return match ended {
            Err(error @ ExecuteError::Sink(_)) => Err(error),
            _ => Ok(facts),
        };
    }
    match ended {
        Ok(end) => facts.end = end,
        // The agent itself may be what Linux killed for want of memory.
        Err(error @ ExecuteError::Guest { .. }) => {
            facts.out_of_memory = guest.ran_out_of_memory().await;
            return if facts.out_of_memory {
                Ok(facts)
            } else {
                Err(error)
            };
        }
        Err(error) => return Err(error),
    }
    if !facts.went_well() {
        facts.out_of_memory = guest.ran_out_of_memory().await;
        facts.disk_full = !facts.out_of_memory && guest.disk_is_full().await;
    }
    Ok(facts)
}
