//! Having an interpreter that is there already run a script, in place of starting one.

use crate::account::Account;
use crate::process::end::End;
use crate::process::record::Process;
use crate::process::spawn::{Spawned, Wiring, environment, wire_up, working_directory};
use crate::state::Agent;
use crate::supply::{self, Forked};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::IoSlice;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::{Deserialize, Serialize};
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::ProcessConfig;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// What an interpreter is told: 4 bytes of length, big-endian, and this as JSON, with its standard
/// input, output and error beside the first byte.
#[derive(Serialize)]
#[serde(tag = "type", rename = "script")]
pub(crate) struct Script<'a> {
    pub(crate) path: &'a str,
    pub(crate) argv: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) cwd: &'a str,
    /// Whether its standard input is wanted, where that is not passed along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stdin: Option<bool>,
}

/// Whether an interpreter's copy can stand in for the program of `config`: a script with its
/// arguments, and no option before it.
pub(crate) fn is_script(config: &ProcessConfig) -> bool {
    let script = config.args.first();
    script.is_some_and(|script| !script.starts_with('-') && !script.is_empty())
}

/// Runs the script of `config` in `forked`, on pipes. Gives the socket too, on which it says how it ended
/// before it has given its memory back.
pub(crate) async fn enter(
    agent: &Agent,
    account: &Account,
    config: &ProcessConfig,
    wiring: Wiring,
    forked: Forked,
) -> Result<(Spawned, UnixStream), RpcError> {
    let directory = working_directory(agent, account, config.cwd.as_deref())?;
    check_directory(&directory)?;
    let variables = environment(agent, account, &config.envs);
    let (ends, input, outputs) = wire_up(account, wiring)?;
    let stdin = ends.stdin.as_ref().map_or(agent.null.as_fd(), AsFd::as_fd);
    let stderr = ends
        .stderr
        .as_ref()
        .map_or(ends.stdout.as_fd(), AsFd::as_fd);
    let script = Script {
        path: config.args.first().map_or("", String::as_str),
        argv: config.args.get(1..).unwrap_or_default(),
        env: &variables,
        cwd: &directory.to_string_lossy(),
        stdin: None,
    };
    let sent = tell(&forked, &script, [stdin, ends.stdout.as_fd(), stderr]).await;
    sent.map_err(|error| {
        let message = format!(
            "the interpreter that was to run '{}' ended: {error}",
            config.cmd
        );
        RpcError::new(Code::Unavailable, message)
    })?;
    let spawned = Spawned {
        pid: forked.pid,
        input,
        outputs,
    };
    Ok((spawned, forked.control))
}

/// The longest word on an end, in bytes.
const MAX_ENDED: usize = 128;

/// What an interpreter says when its script is over and its output written.
#[derive(Deserialize)]
#[serde(tag = "type", rename = "ended")]
struct Ended {
    status: u8,
}

/// Hears how the script of `process` ended. Where nothing is said, waiting for the process tells it.
pub(crate) async fn hear_end(process: Rc<Process>, control: UnixStream) {
    let Some(frame) = supply::read_frame(&control, MAX_ENDED).await else {
        return;
    };
    if let Ok(Ended { status }) = serde_json::from_slice(&frame) {
        end_early(&process, status);
    }
}

/// Notes an end that was told before Linux tells it.
pub(crate) fn end_early(process: &Process, status: u8) {
    if !process.ended() {
        process.end.set(Some(End::Exited(status.into())));
        process.changed.notify_one();
    }
}

/// A program that cannot be started there tells it as its own start does; one that runs already could
/// not any more.
pub(crate) fn check_directory(path: &CStr) -> Result<(), RpcError> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    match path.is_dir() {
        true => Ok(()),
        false => {
            let message = format!("cwd {path:?} is not a directory");
            Err(RpcError::new(Code::InvalidArgument, message))
        }
    }
}

async fn tell(forked: &Forked, script: &Script<'_>, stdio: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    let json = serde_json::to_vec(script)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let frame = [&length.to_be_bytes()[..], &json].concat();
    let mut left = frame.as_slice();
    let mut beside: &[BorrowedFd<'_>] = &stdio;
    while !left.is_empty() {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !beside.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(beside));
            }
            let parts = [IoSlice::new(left)];
            Ok(sendmsg(
                &forked.control,
                &parts,
                &mut control,
                SendFlags::NOSIGNAL,
            )?)
        };
        let sent = forked.control.async_io(Interest::WRITABLE, send).await?;
        // They went along with the first bytes.
        beside = &[];
        left = left.get(sent..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_script_with_its_arguments_can_be_taken_over() {
        let with = |args: &[&str]| ProcessConfig {
            cmd: "python3".to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            ..ProcessConfig::default()
        };
        assert!(is_script(&with(&["/home/user/main.py", "-x"])));
        for other in [&[][..], &["-c", "1"], &["-"], &[""], &["-m", "site"]] {
            assert!(!is_script(&with(other)), "{other:?}");
        }
    }
}
