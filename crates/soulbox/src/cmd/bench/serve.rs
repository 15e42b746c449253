//! The server: how long its answers take, what goes through it, what it holds.
//!
//! The server is a process of its own, started here with its data in a directory that is removed afterwards;
//! this process is its clients, over the loopback.
//!
//! | What | File |
//! |---|---|
//! | the server's process, its memory and descriptors | [`server`] |
//! | what a client does | [`client`] |
//! | making a sandbox, until it answers and until it is of use | [`create`] |
//! | the same as ComputeSDK asks for it, of any server | [`interactive`] |
//! | a command in a live sandbox | [`command`] |
//! | contents of files, both ways | [`file`] |
//! | memory without work, and of open streams | [`idle`] |
//! | many sandboxes and many users for a while | [`crowd`] |
//! | a server that does nothing | [`bare`] |

mod bare;
mod client;
mod command;
mod create;
mod crowd;
mod file;
mod idle;
pub(super) mod interactive;
mod server;

use super::Common;
use super::report::Report;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use client::Address;
use server::{Pools, Server};

const EXAMPLES: &str = "\
Examples:
  soulbox bench serve --template base
  soulbox bench serve --template base --json > serve.json
  soulbox bench serve --parts crowd --seconds 300
  SOULBOX_API_KEY=$(cat key) soulbox bench serve --url 127.0.0.1:3000 --parts create,command";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Sandboxes made one by one, until the server answers
    Create,
    /// Sandboxes made, until a first command's output is there: one by one, and many at once
    Interactive,
    /// Commands in a live sandbox
    Command,
    /// Contents of files, both ways
    File,
    /// The server's memory, without work and with idle streams
    Idle,
    /// Many sandboxes that live while many users make, use and end others
    Crowd,
}

/// Flags of `soulbox bench serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to measure; everything when left out
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// How many sandboxes are made one by one, in each way
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// How many sandboxes are made at once
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2000))]
    burst: u32,
    /// How many commands are run one by one, in each way
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    commands: u32,
    /// How often a file is sent and fetched
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    files: u32,
    /// How many streams are open without anything to tell
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    streams: u32,
    /// How many sandboxes live while others come and go
    #[arg(long, value_name = "COUNT", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=3000))]
    alive: u32,
    /// How many users make, use and end sandboxes meanwhile
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    users: u32,
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Measure the server that listens there, whose key is in the variable SOULBOX_API_KEY, instead of one of
    /// its own
    #[arg(long, value_name = "ADDRESS:PORT")]
    url: Option<String>,
    /// Be a server that does nothing
    #[arg(long, hide = true)]
    as_bare: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Args {
    /// Whether this is the server that others are held against, which reports nothing.
    pub(super) fn is_bare(&self) -> bool {
        self.as_bare
    }

    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// Is the server that does nothing.
pub(super) async fn be_bare() -> Result<(), Failure> {
    bare::work().await
}

/// The servers that are measured: one that keeps sandboxes ready, one that keeps none.
struct Bed {
    ready: Address,
    unready: Option<Address>,
    /// The process of the first, where it is ours.
    server: Option<Server>,
    _other: Option<Server>,
}

impl Bed {
    fn make(global: &Global, args: &Args) -> Result<Self, Failure> {
        if let Some(url) = &args.url {
            return Ok(Self {
                ready: Address::of_url(url)?,
                unready: None,
                server: None,
                _other: None,
            });
        }
        let template = &args.common.template;
        let server = Server::start(global, template, Pools::Filled)?;
        let other = match args.wants(Part::Create) || args.wants(Part::Interactive) {
            true => Some(Server::start(global, template, Pools::Empty)?),
            false => None,
        };
        Ok(Self {
            ready: server.address().clone(),
            unready: other.as_ref().map(|server| server.address().clone()),
            server: Some(server),
            _other: other,
        })
    }
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("serve", &args.common.template);
    let bed = Bed::make(global, args)?;
    client::wait_until_ready(&bed.ready, &args.common.template).await?;
    // First, while nothing was done yet.
    if args.wants(Part::Idle)
        && let Some(server) = &bed.server
    {
        idle::measure(server, args, &mut report).await?;
    }
    if args.wants(Part::Create) {
        create::measure(global, &bed, args, &mut report).await?;
    }
    if args.wants(Part::Interactive) {
        create::interactive(&bed, args, &mut report).await?;
        create::burst(&bed, args, &mut report).await?;
    }
    if args.wants(Part::Command) {
        command::measure(&bed.ready, args, &mut report).await?;
    }
    if args.wants(Part::File) {
        file::measure(&bed, args, &mut report).await?;
    }
    if args.wants(Part::Crowd) {
        crowd::measure(&bed, args, &mut report).await?;
    }
    Ok(report.end())
}

/// A fault that is ours or the server's.
fn failed(what: impl Into<String>) -> Failure {
    Failure::new(Exit::INTERNAL, what)
}

/// A count as a figure.
fn figure(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// KiB as megabytes of a million bytes.
fn megabytes(kib: u64) -> f64 {
    figure(kib) * 1.024 / 1000.0
}
