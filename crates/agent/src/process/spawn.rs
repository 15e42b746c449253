//! From a request's words to a running program.

use crate::account::Account;
use crate::channel::watch;
use crate::path;
use crate::process::output::{Outputs, Source};
use crate::process::record::Input;
use crate::state::Agent;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::Pid;
use soulbox_syscall::process::{Identity, Program, StartError, Step, start};
use soulbox_syscall::terminal;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::output::Output;
use soulbox_wire::envd::process::{ProcessConfig, PtySize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;
use tokio::io::unix::AsyncFd;

/// The language and the encoding of text, unless the request or `/init` says otherwise.
const LANG: &str = "C.UTF-8";

/// Where programs are looked for, unless the request or `/init` says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What standard input, output and error a process gets.
#[derive(Clone, Copy)]
pub(crate) enum Wiring {
    /// Pipes; standard input only if wanted, else `/dev/null`.
    Pipes { stdin: bool },
    /// A terminal.
    Terminal(PtySize),
}

/// A program that runs.
pub(crate) struct Spawned {
    pub(crate) pid: Pid,
    pub(crate) input: Input,
    pub(crate) outputs: Outputs,
}

/// The process's ends of what connects it with the agent.
pub(crate) struct ChildEnds {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    /// Absent on a terminal, which is all three.
    pub(crate) stderr: Option<OwnedFd>,
}

/// Starts the program of `config` as `account`.
pub(crate) fn spawn(
    agent: &Agent,
    account: &Account,
    config: &ProcessConfig,
    wiring: Wiring,
) -> Result<Spawned, RpcError> {
    let directory = working_directory(agent, account, config.cwd.as_deref())?;
    let environment = environment(agent, account, &config.envs);
    let search = environment.get("PATH").map_or(PATH, String::as_str);
    let paths = candidates(&config.cmd, search)?;
    let arguments = std::iter::once(&config.cmd).chain(&config.args);
    let arguments = arguments
        .map(|text| c_string(text.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    let variables = environment
        .iter()
        .map(|(name, value)| c_string(format!("{name}={value}")));
    let variables = variables.collect::<Result<Vec<_>, _>>()?;

    let (ends, input, outputs) = wire_up(account, wiring)?;
    let stdin = ends.stdin.as_ref().map_or(agent.null.as_fd(), AsFd::as_fd);
    let stderr = ends
        .stderr
        .as_ref()
        .map_or(ends.stdout.as_fd(), AsFd::as_fd);
    let on_terminal = matches!(wiring, Wiring::Terminal(_));
    let stdin = if on_terminal {
        ends.stdout.as_fd()
    } else {
        stdin
    };
    agent.oom_score.raise();
    let pid = start(&Program {
        paths: &paths,
        arguments: &arguments,
        environment: &variables,
        directory: &directory,
        stdio: [stdin, ends.stdout.as_fd(), stderr],
        control: None,
        controls_terminal: on_terminal,
        identity: identity(account),
        open_files: Some(agent.open_files),
    })
    .map_err(|error| start_error(&error, config, account, &directory))?;
    Ok(Spawned {
        pid,
        input,
        outputs,
    })
}

/// Whom to become. Without root's rights nobody else can be, so nothing is tried.
pub(crate) fn identity(account: &Account) -> Option<Identity<'_>> {
    let me = rustix::process::geteuid();
    (me.is_root() || me != account.uid).then_some(Identity {
        uid: account.uid,
        gid: account.gid,
        groups: &account.groups,
    })
}

fn start_error(
    error: &StartError,
    config: &ProcessConfig,
    account: &Account,
    directory: &CStr,
) -> RpcError {
    let directory = directory.to_string_lossy();
    let code = match (error.step, error.errno) {
        (Step::Identity, _) => Code::PermissionDenied,
        (Step::Clone, Errno::AGAIN | Errno::NOMEM) => Code::ResourceExhausted,
        (Step::Execute | Step::Directory, _) => Code::InvalidArgument,
        _ => Code::Internal,
    };
    let what = match error.step {
        Step::Execute => format!("cannot start '{}': {}", config.cmd, error.errno),
        Step::Directory if matches!(error.errno, Errno::NOENT | Errno::NOTDIR) => {
            format!("cwd '{directory}' does not exist")
        }
        Step::Directory => format!("cannot enter cwd '{directory}': {}", error.errno),
        Step::Identity => format!("cannot become user '{}': {}", account.name, error.errno),
        _ => format!("cannot start '{}': {error}", config.cmd),
    };
    RpcError::new(code, what)
}

pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, RpcError> {
    CString::new(text).map_err(|_| {
        let message = "command, arguments and variables must not contain zero bytes";
        RpcError::new(Code::InvalidArgument, message)
    })
}

pub(crate) fn working_directory(
    agent: &Agent,
    account: &Account,
    wanted: Option<&str>,
) -> Result<CString, RpcError> {
    let settings = agent.settings.borrow();
    let resolved = path::resolve(
        wanted.unwrap_or_default(),
        account,
        settings.default_workdir.as_deref(),
    )
    .map_err(|error| RpcError::new(Code::InvalidArgument, error.to_string()))?;
    c_string(resolved.as_os_str().as_bytes())
}

/// Variables, the later of these counting more: ours, the sandbox's, the request's.
pub(crate) fn environment(
    agent: &Agent,
    account: &Account,
    wanted: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let settings = agent.settings.borrow();
    let given = settings.env_vars.iter().chain(wanted);
    let given = given.map(|(name, value)| (name.clone(), value.clone()));
    own_variables(account).chain(given).collect()
}

/// What every process of a user's has, unless it is told otherwise.
pub(crate) fn own_variables(account: &Account) -> impl Iterator<Item = (String, String)> + use<> {
    let own = [
        ("PATH", PATH),
        ("HOME", &account.home),
        ("USER", &account.name),
        ("LOGNAME", &account.name),
        ("LANG", LANG),
    ];
    own.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
}

/// The paths that a command can mean: itself, or its name in each directory of `search`.
pub(crate) fn candidates(command: &str, search: &str) -> Result<Vec<CString>, RpcError> {
    if command.is_empty() {
        return Err(RpcError::new(
            Code::InvalidArgument,
            "cmd is empty, name a program",
        ));
    }
    if command.contains('/') {
        return Ok(vec![c_string(command)?]);
    }
    let directories = search
        .split(':')
        .filter(|directory| directory.starts_with('/'));
    directories
        .map(|directory| {
            c_string(
                Path::new(directory)
                    .join(command)
                    .into_os_string()
                    .into_encoded_bytes(),
            )
        })
        .collect()
}

pub(crate) fn wire_up(
    account: &Account,
    wiring: Wiring,
) -> Result<(ChildEnds, Input, Outputs), RpcError> {
    let made = match wiring {
        Wiring::Pipes { stdin } => pipes(stdin),
        Wiring::Terminal(size) => {
            let (columns, rows) = crate::process::update::terminal_size(size)?;
            terminal_ends(account, columns, rows)
        }
    };
    made.map_err(|error| {
        RpcError::new(
            Code::ResourceExhausted,
            format!("cannot make pipes or a terminal: {error}"),
        )
    })
}

fn pipes(stdin: bool) -> std::io::Result<(ChildEnds, Input, Outputs)> {
    let (stdin, input) = if stdin {
        let (child, ours) = pipe()?;
        (Some(child), Input::Pipe(RefCell::new(Some(channel(ours)?))))
    } else {
        (None, Input::None)
    };
    let (out_reader, stdout) = pipe()?;
    let (error_reader, stderr) = pipe()?;
    let sources = vec![
        Source::new(Output::Stdout, channel(out_reader)?),
        Source::new(Output::Stderr, channel(error_reader)?),
    ];
    Ok((
        ChildEnds {
            stdin,
            stdout,
            stderr: Some(stderr),
        },
        input,
        Outputs::new(sources),
    ))
}

fn terminal_ends(
    account: &Account,
    columns: u16,
    rows: u16,
) -> std::io::Result<(ChildEnds, Input, Outputs)> {
    let terminal = terminal::open(columns, rows)?;
    // Only root can give it away; an agent without root runs everything as itself.
    let _ = terminal::give(&terminal.slave, account.uid);
    let master = Rc::new(watch(terminal.master)?);
    let outputs = Outputs::new(vec![Source::new(Output::Pty, Rc::clone(&master))]);
    let ends = ChildEnds {
        stdin: None,
        stdout: terminal.slave,
        stderr: None,
    };
    Ok((ends, Input::Terminal(master), outputs))
}

/// Read end, write end. Neither survives the start of a program by itself.
fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

/// Our end of a pipe. Only ours is non-blocking: programs do not expect that of theirs.
fn channel(end: OwnedFd) -> std::io::Result<Rc<AsyncFd<OwnedFd>>> {
    rustix::io::ioctl_fionbio(&end, true)?;
    Ok(Rc::new(watch(end)?))
}
