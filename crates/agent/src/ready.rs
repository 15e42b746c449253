//! A process of Node.js that was started before anybody said what it is to run.
//!
//! V8 cannot be copied as Python is ([`crate::supply`]): its threads do not live through a fork. So the host has the
//! agent start a process ahead, while the sandbox waits for its user. That process loads [`WAIT`], which
//! reads one frame from standard input and then becomes what `node file` would be. It is told on one run
//! only, and knows nothing before. Where anything is to be that only a start can do, a program is
//! started as usual.

use crate::account::Account;
use crate::process::enter::{Script, check_directory, end_early, is_script};
use crate::process::input::write_all;
use crate::process::output::Outputs;
use crate::process::record::{Input, Process};
use crate::process::spawn::{
    Spawned, Wiring, c_string, candidates, environment, identity, own_variables, wire_up,
    working_directory,
};
use crate::state::Agent;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal};
use soulbox_syscall::process::{Program, start};
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::ProcessConfig;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// The command that it stands in for.
const NODE: &str = "node";

/// What it loads first.
const WAIT: &str = include_str!("ready/wait.cjs");

/// Where that lies in the sandbox. The threads of a program look for it too.
const DIRECTORY: &str = "/run/soulbox";
const FILE: &str = "/run/soulbox/wait.cjs";

/// How long it may take to load; it takes a tenth of a second of a processor.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it says when it waits.
const GREETING: &[u8] = b"ready 1\n";

/// What it says when its program went well and its output is written.
const ENDED: &[u8] = b"ended 0\n";

/// The longest order, in bytes: what a pipe takes at once.
const MAX_ORDER: usize = 60 * 1024;

/// Variables that Node.js, or a library of its, reads when it starts. Those that begin so, too.
const AT_START: [&str; 11] = [
    "GLIBC_", "GCONV_", "ICU_", "LD_", "LOCPATH", "MALLOC_", "NODE_", "OPENSSL_", "PATH", "SSL_",
    "UV_",
];

/// By which of these ICU chooses a language when it starts, the first that is set.
const LANGUAGES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// Values of theirs that mean what none means.
const PLAIN: [&str; 5] = ["C", "C.UTF-8", "POSIX", "en_US", "en_US.UTF-8"];

/// A process that waits.
pub(crate) struct Ready {
    pid: Pid,
    /// The user that it is.
    uid: u32,
    /// What it was started with.
    variables: BTreeMap<String, String>,
    /// Where it says that its program went well.
    said: Receiver,
    /// Where it is told, and what it then reads.
    input: Input,
    outputs: Outputs,
}

/// Whether a command is one that a process which waits can run.
pub(crate) fn is_program(command: &str) -> bool {
    command == NODE
}

/// Starts a process of the default user that waits for a script, and waits until it does.
///
/// # Errors
/// It cannot be started, or does not say in time that it waits.
pub(crate) async fn begin(agent: &Agent, given: &BTreeMap<String, String>) -> Result<(), RpcError> {
    let account = agent.account(None)?;
    let variables = own_variables(&account);
    let given = given
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    let variables: BTreeMap<_, _> = variables.chain(given).collect();
    place_file().map_err(|error| lacks(&format!("cannot write {FILE}: {error}")))?;
    let (mut ready, theirs) = spawn(agent, &account, variables)?;
    drop(theirs);
    let greeted = tokio::time::timeout(PATIENCE, hear(&mut ready.said, GREETING)).await;
    // Its command has left the agent's memory by now.
    agent.oom_score.lower();
    if !matches!(greeted, Ok(Ok(()))) {
        ready.end();
        return Err(lacks("node does not say that it waits"));
    }
    // One that waited already is not needed: this one is newer.
    if let Some(before) = agent.ready.borrow_mut().replace(ready) {
        before.end();
    }
    Ok(())
}

/// Has the process that waits run the script of `config`, on pipes. Gives the pipe too, in which it
/// says that the script went well; none if it cannot, and nothing of the script has run then.
pub(crate) async fn enter(
    agent: &Agent,
    account: &Account,
    config: &ProcessConfig,
    wiring: Wiring,
) -> Option<(Spawned, Receiver)> {
    let Wiring::Pipes { stdin } = wiring else {
        return None;
    };
    let variables = environment(agent, account, &config.envs);
    let directory = working_directory(agent, account, config.cwd.as_deref()).ok()?;
    let order = order(config, &variables, directory.to_str().ok()?, stdin)?;
    check_directory(&directory).ok()?;
    let fits = agent.ready.borrow().as_ref().is_some_and(|ready| {
        ready.uid == account.uid.as_raw() && starts_alike(&ready.variables, &variables)
    });
    if !fits {
        return None;
    }
    let ready = agent.ready.borrow_mut().take()?;
    let told = match &ready.input {
        Input::Pipe(pipe) => {
            let pipe = pipe.borrow().clone()?;
            write_all(&pipe, &order).await
        }
        Input::None | Input::Terminal(_) => return None,
    };
    // From here to the table of processes nothing waits, so that its end is not missed.
    if told.is_err() || rustix::process::test_kill_process(ready.pid).is_err() {
        ready.end();
        return None;
    }
    let spawned = Spawned {
        pid: ready.pid,
        input: if stdin { ready.input } else { Input::None },
        outputs: ready.outputs,
    };
    Some((spawned, ready.said))
}

impl Ready {
    fn end(self) {
        // Closing its standard input ends one that reads; not one that does not.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
    }
}

/// The frame by which a process is told what to run; none if that needs a start.
fn order(
    config: &ProcessConfig,
    variables: &BTreeMap<String, String>,
    directory: &str,
    stdin: bool,
) -> Option<Vec<u8>> {
    let named = variables.iter().flat_map(|(name, value)| [name, value]);
    let mut words = config.args.iter().chain(named);
    if !is_script(config) || words.any(|word| word.contains('\0')) {
        return None;
    }
    // Such names are refused by the one that sets them, and kept by one that is started with them.
    if variables
        .keys()
        .any(|name| name.is_empty() || name.contains('='))
    {
        return None;
    }
    let script = Script {
        path: config.args.first()?,
        argv: config.args.get(1..)?,
        env: variables,
        cwd: directory,
        stdin: Some(stdin),
    };
    let json = serde_json::to_vec(&script).ok()?;
    let length = u32::try_from(json.len()).ok()?;
    let order = [&length.to_be_bytes()[..], &json].concat();
    (order.len() <= MAX_ORDER).then_some(order)
}

/// Whether a process that was started with `these` variables can be given `those`.
fn starts_alike(these: &BTreeMap<String, String>, those: &BTreeMap<String, String>) -> bool {
    let fixed = |name: &str| AT_START.iter().any(|start| name.starts_with(start));
    let of = |all: &BTreeMap<String, String>| -> Vec<(String, String)> {
        let fixed = all.iter().filter(|(name, _)| fixed(name));
        fixed.map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    of(these) == of(those) && language(these) == language(those)
}

/// The language that is asked for; none for the usual one.
fn language(variables: &BTreeMap<String, String>) -> Option<&str> {
    let set = LANGUAGES.iter().filter_map(|name| variables.get(*name));
    let first = set.map(String::as_str).find(|value| !value.is_empty());
    first.filter(|value| !PLAIN.contains(value))
}

/// Hears that the script of `process` went well. Where nothing is said, waiting for the process tells how it
/// ended.
pub(crate) async fn hear_end(process: Rc<Process>, mut said: Receiver) {
    if hear(&mut said, ENDED).await.is_ok() {
        end_early(&process, 0);
    }
}

/// Starts the process; gives its own end of the pipe too.
fn spawn(
    agent: &Agent,
    account: &Account,
    variables: BTreeMap<String, String>,
) -> Result<(Ready, OwnedFd), RpcError> {
    let path = variables.get("PATH").map_or("", String::as_str);
    let paths = candidates(NODE, path)?;
    let arguments = [NODE, "-r", FILE, "program"].map(c_string);
    let arguments = arguments.into_iter().collect::<Result<Vec<_>, _>>()?;
    let words = variables
        .iter()
        .map(|(name, value)| c_string(format!("{name}={value}")));
    let words = words.collect::<Result<Vec<_>, _>>()?;
    let (ends, input, outputs) = wire_up(account, Wiring::Pipes { stdin: true })?;
    let (said, theirs) = pipe(account).map_err(|error| lacks(&error.to_string()))?;
    let stdin = ends
        .stdin
        .as_ref()
        .map_or(agent.null.as_fd(), |end| end.as_fd());
    let stderr = ends
        .stderr
        .as_ref()
        .map_or(ends.stdout.as_fd(), |end| end.as_fd());
    agent.oom_score.raise();
    let started = start(&Program {
        paths: &paths,
        arguments: &arguments,
        environment: &words,
        // Nothing of a user's is there that node could take for its own.
        directory: c"/",
        stdio: [stdin, ends.stdout.as_fd(), stderr],
        control: Some(theirs.as_fd()),
        controls_terminal: false,
        identity: identity(account),
        open_files: Some(agent.open_files),
    });
    let started = started.inspect_err(|_| agent.oom_score.lower());
    let ready = Ready {
        pid: started.map_err(|error| lacks(&format!("cannot start node: {error}")))?,
        uid: account.uid.as_raw(),
        variables,
        said,
        input,
        outputs,
    };
    Ok((ready, theirs))
}

/// What it speaks in: our end and its own, which it opens once more as its own user.
fn pipe(account: &Account) -> io::Result<(Receiver, OwnedFd)> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    if identity(account).is_some() {
        rustix::fs::fchown(&theirs, Some(account.uid), Some(account.gid))?;
    }
    Ok((Receiver::from_owned_fd(ours)?, theirs))
}

async fn hear(pipe: &mut Receiver, expected: &[u8]) -> io::Result<()> {
    let mut said = vec![0; expected.len()];
    pipe.read_exact(&mut said).await?;
    match said == expected {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes what it loads to where it is looked for.
fn place_file() -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(DIRECTORY) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o444).open(FILE);
    match file {
        Ok(mut file) => file.write_all(WAIT.as_bytes()),
        // By one that was begun before.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn lacks(why: &str) -> RpcError {
    RpcError::new(Code::Unavailable, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        let all = all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        all.collect()
    }

    #[test]
    fn what_only_a_start_can_do_is_left_to_a_start() {
        let begun = variables(&[("PATH", "/bin"), ("HOME", "/home/user")]);
        let alike = |more: &[(&str, &str)]| {
            let mut all = begun.clone();
            all.extend(variables(more));
            starts_alike(&begun, &all)
        };
        let usual = [("HOME", "/x"), ("TOKEN", "1"), ("TZ", "Asia/Tokyo")];
        assert!(alike(&usual) && alike(&[("LANG", "C.UTF-8")]) && alike(&[("LC_ALL", "")]));
        for other in [
            ("PATH", "/usr/bin"),
            ("NODE_OPTIONS", "--no-warnings"),
            ("NODE_ENV", "production"),
            ("LD_PRELOAD", "/x.so"),
            ("LANG", "de_DE.UTF-8"),
            ("LC_ALL", "C.ISO-8859-1"),
            ("SSL_CERT_FILE", "/x"),
        ] {
            assert!(!alike(&[other]), "{other:?}");
        }
        let told = variables(&[("NODE_EXTRA_CA_CERTS", "/x"), ("PATH", "/bin")]);
        assert!(!starts_alike(&told, &begun), "it was started with more");
    }

    #[test]
    fn an_order_is_a_script_of_what_a_pipe_holds() {
        let config = |args: &[&str]| ProcessConfig {
            cmd: NODE.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            ..ProcessConfig::default()
        };
        let of =
            |args: &[&str], all: &[(&str, &str)]| order(&config(args), &variables(all), "/", true);
        let order = of(&["main.js", "-x"], &[("A", "b")]).unwrap();
        let (length, json) = order.split_at(4);
        assert_eq!(length, u32::try_from(json.len()).unwrap().to_be_bytes());
        let told: serde_json::Value = serde_json::from_slice(json).unwrap();
        let expected = serde_json::json!({
            "type": "script", "path": "main.js", "argv": ["-x"], "env": {"A": "b"}, "cwd": "/", "stdin": true,
        });
        assert_eq!(told, expected);
        for args in [&[][..], &["-e", "1"], &["-"], &["a\0b"]] {
            assert!(of(args, &[]).is_none(), "{args:?}");
        }
        for odd in [
            ("", "x"),
            ("A=B", "x"),
            ("A", "\0"),
            ("A", &"x".repeat(MAX_ORDER)),
        ] {
            assert!(of(&["main.js"], &[odd]).is_none(), "{odd:?}");
        }
    }
}
