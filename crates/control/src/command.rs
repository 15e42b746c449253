//! What can be asked about sandboxes, and what is answered.

use crate::commands::{NewCommand, OutputPiece};
use crate::hub::Happened;
use crate::idempotency::Once;
use crate::inside::Used;
use crate::list::{ListQuery, Page};
use crate::log::LogLine;
use crate::samples::Sample;
use soulbox_model::{
    CommandId, CommandRecord, Event, Isolation, Lifecycle, Limits, Moment, NetworkMode, Phases,
    SandboxId, SandboxRecord, TemplateName,
};
use soulbox_runtime::agent_client::OutputStream;
use std::collections::BTreeMap;
use std::time::Duration;

/// A sandbox that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRequest {
    /// What it is made from.
    pub template: TemplateName,
    /// How long it lives unless that is changed.
    pub timeout: Duration,
    /// What becomes of it by itself.
    pub lifecycle: Lifecycle,
    /// Notes of its owner.
    pub metadata: BTreeMap<String, String>,
    /// Variables of every command in it. They are handed to its agent and kept nowhere else.
    pub variables: BTreeMap<String, String>,
    /// What it reaches.
    pub network: NetworkMode,
    /// Rules for its network as they were given.
    pub network_rules: Option<serde_json::Value>,
    /// Whether requests to its agent need its token.
    pub secure: bool,
    /// Whether requests to its own ports need its traffic token.
    pub private_traffic: bool,
    /// What its own ports are told as the host's name.
    pub mask_host: Option<String>,
    /// The level of isolation.
    pub isolation: Isolation,
    /// What it may use; the node's defaults when absent.
    pub limits: Option<Limits>,
    /// By which the same request is known when it is repeated.
    pub once: Option<Once>,
}

/// What can be asked about sandboxes.
#[derive(Debug, Clone, PartialEq)]
pub enum SandboxCommand {
    /// Make one.
    Create(Box<CreateRequest>),
    /// Tell about one that lives.
    Get(SandboxId),
    /// List those that live.
    List(ListQuery),
    /// End one.
    Kill(SandboxId),
    /// Give it so much time from now, which may be less than it had.
    SetTimeout(SandboxId, Duration),
    /// Give it so much time from now, if that is more than it has.
    Extend(SandboxId, Duration),
    /// Resume it if it is paused, and extend its time.
    Connect(SandboxId, Duration),
    /// Stop it with everything in memory.
    Pause(SandboxId),
    /// Keep other rules for its network.
    SetNetwork(SandboxId, Option<serde_json::Value>),
    /// What happened to it, also after its end.
    Events(SandboxId),
    /// What happened to it and what was started in it, also after its end.
    Log(SandboxId),
    /// What it used, from and to a moment.
    Samples(SandboxId, Option<Moment>, Option<Moment>),
    /// What several used last.
    Latest(Vec<SandboxId>),
    /// The last that ended, so many at the most ([`crate::look::MOST_ENDED`]).
    Ended(usize),
    /// Start a command in it.
    StartCommand(SandboxId, Box<NewCommand>),
    /// List its commands, also after its end.
    ListCommands(SandboxId),
    /// Tell about a command.
    GetCommand(SandboxId, CommandId),
    /// Tell about a command as soon as it is over, or after so long.
    WaitCommand(SandboxId, CommandId, Duration),
    /// Send a signal to a command, or to its whole process group.
    SignalCommand {
        /// Where it runs.
        sandbox: SandboxId,
        /// The command.
        command: CommandId,
        /// The signal's number.
        signal: i32,
        /// Whether its whole process group gets it.
        group: bool,
    },
    /// Read output of a command.
    ReadOutput {
        /// Where it runs or ran.
        sandbox: SandboxId,
        /// The command.
        command: CommandId,
        /// Which output.
        stream: OutputStream,
        /// From which byte on.
        offset: u64,
        /// At most so many bytes.
        limit: usize,
    },
    /// What it has used, by the host's own counters.
    Usage(SandboxId),
    /// Kill every process in it but the first, without the help of anything inside.
    KillProcesses(SandboxId),
}

/// What is told about a sandbox.
#[derive(Debug, Clone)]
pub struct SandboxView {
    /// Its record.
    pub record: SandboxRecord,
    /// Its token, if it has one.
    pub access_token: Option<String>,
    /// The token of its own ports, if they need one.
    pub traffic_token: Option<String>,
    /// Where the time of its create went; empty for an older one.
    pub phases: Phases,
}

/// An entry of a sandbox's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEntry {
    /// Something happened to it.
    Event(Event),
    /// A command in it was started, or has ended.
    Command(LogLine),
}

impl LogEntry {
    /// When it was.
    pub const fn at(&self) -> Moment {
        match self {
            Self::Event(event) => event.at,
            Self::Command(line) => line.at,
        }
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum SandboxReply {
    /// About one sandbox.
    Sandbox(Box<SandboxView>),
    /// About one sandbox that had to be resumed.
    Resumed(Box<SandboxView>),
    /// About several.
    Page(Page),
    /// What happened.
    Events(Vec<Happened>),
    /// Its log, the oldest first.
    Log(Vec<LogEntry>),
    /// What it used, the oldest first.
    Samples(Vec<Sample>),
    /// What each used last.
    Latest(Vec<(SandboxId, Sample)>),
    /// Records of those that ended.
    Ended(Vec<SandboxRecord>),
    /// About one command.
    Command(Box<CommandRecord>),
    /// About several commands, the oldest first.
    Commands(Vec<CommandRecord>),
    /// Output of a command.
    Output(Box<OutputPiece>),
    /// What it has used.
    Usage(Used),
    /// It is done.
    Done,
}
