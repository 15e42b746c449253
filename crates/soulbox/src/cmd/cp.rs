//! `soulbox cp`: files and directories into and out of a sandbox of a server.

mod down;
mod ground;
mod up;

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, find};
use crate::terminal::{self, Progress};
use soulbox_client::way::Way;
use soulbox_runtime::agent_client::{AgentClient, AgentError};
use soulbox_settings::Settings;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

const EXAMPLES: &str = "\
Examples:
  soulbox cp data.csv i3f9:data.csv
  soulbox cp i3f9:/home/user/plot.png .
  soulbox cp project/ i3f9:/home/user/project
  soulbox cp i3f9:out results
  soulbox cp i3f9:log.txt - | less
  pg_dump db | soulbox cp - i3f9:dump.sql

A path in the sandbox is relative to the user's home. A directory that is there already gets the source
below it, as with cp; links are left out, in both directions.";

/// Flags of `soulbox cp`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// ID:PATH in a sandbox, a local path, or - for stdin
    #[arg(value_name = "FROM")]
    from: String,
    /// A local path, - for stdout, or ID:PATH in a sandbox
    #[arg(value_name = "TO")]
    to: String,
    /// The user inside, who owns what is copied in [default: user]
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A path in a sandbox.
    Remote { id: String, path: String },
    /// A path of this machine.
    Local(PathBuf),
    /// Our own stdin or stdout.
    Pipe,
}

/// What a copy needs to know.
struct Copy<'c> {
    client: &'c AgentClient,
    user: Option<&'c str>,
    /// The largest file, in bytes.
    file: u64,
    /// The most files.
    files: u32,
    meter: Arc<Meter>,
}

/// How far a copy is.
#[derive(Default)]
struct Meter {
    progress: OnceLock<Progress>,
    bytes: AtomicU64,
    files: AtomicU64,
}

impl Meter {
    /// Says how many bytes there will be, where that is known.
    fn expect(&self, total: u64) {
        self.progress.get_or_init(|| Progress::bytes(total));
    }

    fn progress(&self) -> &Progress {
        self.progress.get_or_init(|| Progress::spinner("copying"))
    }

    /// Notes that a piece was copied.
    fn add(&self, bytes: usize) {
        let bytes = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let files = self.files.load(Ordering::Relaxed);
        let progress = self.progress();
        progress.to(bytes);
        if files > 0 {
            progress.say(&format!("{files} files, {} MiB", bytes >> 20));
        }
    }

    /// Tells something that was left out.
    fn left_out(&self, what: &str, why: &str) {
        let line = format!("note: {what} is left out: {why}");
        self.progress().print(&crate::failure::safe(&line));
    }
}

/// Copies.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (from, to) = (end(&args.from)?, end(&args.to)?);
    let wrong = |what: &str| {
        Err(Failure::new(Exit::USAGE, what)
            .help("one of the two is written ID:PATH, as in i3f9:data.csv"))
    };
    let (id, download) = match (&from, &to) {
        (End::Remote { id, .. }, End::Local(_) | End::Pipe) => (id, true),
        (End::Local(_) | End::Pipe, End::Remote { id, .. }) => (id, false),
        (End::Remote { .. }, End::Remote { .. }) => {
            return wrong("both are in sandboxes: copy to this machine first");
        }
        _ => return wrong("neither is in a sandbox"),
    };
    let (settings, server) = args.server.open(global)?;
    remote::block_on(async {
        let sandbox = find::sandbox(&server, id).await?;
        let way = Way::to(&server, &sandbox, &settings.agent)?;
        let copy = Copy::new(&way.client, args.user.as_deref(), &settings);
        match (&from, &to, download) {
            (End::Remote { path, .. }, End::Local(local), true) => {
                down::to_path(&copy, path, local).await
            }
            (End::Remote { path, .. }, _, true) => down::to_stdout(&copy, path).await,
            (End::Local(local), End::Remote { path, .. }, _) => {
                up::from_path(&copy, local, path).await
            }
            (_, End::Remote { path, .. }, _) => up::from_stdin(&copy, path).await,
            _ => wrong("neither is in a sandbox").map(drop),
        }?;
        Ok(Exit::SUCCESS)
    })
}

impl<'c> Copy<'c> {
    fn new(client: &'c AgentClient, user: Option<&'c str>, settings: &Settings) -> Self {
        Self {
            client,
            user,
            file: settings.execute.file.bytes(),
            files: settings.execute.files,
            meter: Arc::default(),
        }
    }

    /// Counts one more file of a directory.
    fn count(&self) -> Result<(), Failure> {
        let done = self.meter.files.load(Ordering::Relaxed);
        if done >= u64::from(self.files) {
            let what = format!("there are more than {} files", self.files);
            return Err(Failure::new(Exit::USAGE, what).help(
                "setting execute.files, or pack them first: soulbox exec ID -- tar c DIR > dir.tar",
            ));
        }
        self.meter.files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Reads one end. What has no id of a sandbox before a colon is a path of this machine, as is what begins
/// with a slash or a dot.
fn end(text: &str) -> Result<End, Failure> {
    if text == "-" {
        return Ok(End::Pipe);
    }
    if text.is_empty() || text.contains('\0') {
        return Err(Failure::new(Exit::USAGE, "a path is empty, or holds NUL"));
    }
    let is_id = |id: &str| {
        !id.is_empty()
            && id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    match text.split_once(':') {
        Some((id, path)) if is_id(id) => Ok(End::Remote {
            id: id.to_owned(),
            path: match path {
                "" => ".".to_owned(),
                path => path.to_owned(),
            },
        }),
        _ => Ok(End::Local(text.into())),
    }
}

/// What a failed call of the agent means.
fn refused(doing: &str, remote: &str, error: &AgentError) -> Failure {
    let exit = match error {
        AgentError::TooLarge { .. } => Exit::USAGE,
        AgentError::Status { status, .. } if status.as_u16() == 507 => Exit::DISK_FULL,
        AgentError::Rpc(_) | AgentError::Status { .. } => Exit::NOT_FOUND,
        AgentError::Source(_) => Exit::HOST,
        _ => Exit::SERVER,
    };
    let failure =
        Failure::new(exit, format!("cannot {doing} {remote} of the sandbox")).because(error);
    match error {
        AgentError::TooLarge { .. } => failure.help("setting execute.file"),
        _ => failure,
    }
}

/// A failure of this machine's own files.
fn local(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    let exit = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Exit::NOT_FOUND,
        _ => Exit::HOST,
    };
    Failure::new(exit, format!("cannot {doing} {}", path.display())).because(error)
}

/// Tells a failure of stdout.
fn stdout(error: &std::io::Error) -> Failure {
    terminal::write_failed(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_sandboxs_or_ours() {
        let remote = |id: &str, path: &str| End::Remote {
            id: id.to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(end("iabc:x/y").unwrap(), remote("iabc", "x/y"));
        assert_eq!(end("iabc:").unwrap(), remote("iabc", "."));
        assert_eq!(end("iabc:a:b").unwrap(), remote("iabc", "a:b"));
        for ours in ["x", "./iabc:x", "/tmp/a:b", "C:x", "a b:c", ":x"] {
            assert_eq!(end(ours).unwrap(), End::Local(ours.into()), "{ours}");
        }
        assert_eq!(end("-").unwrap(), End::Pipe);
        assert!(end("").is_err() && end("a:\0").is_err());
    }
}
