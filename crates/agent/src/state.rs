//! What the agent knows: settings, processes, watchers, accounts.

use crate::account::{Account, Accounts};
use crate::commands::kept::Kept;
use crate::kernels::table::Kernels;
use crate::process::oom_score::OomScore;
use crate::process::table::Table;
use crate::ready::Ready;
use crate::supply::Supply;
use crate::usage::CpuSample;
use crate::watch::kept::Watchers;
use rustix::fd::OwnedFd;
use rustix::process::Rlimit;
use soulbox_wire::connect::{Code, RpcError};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The user that requests mean when they name none, until `/init` says otherwise.
const DEFAULT_USER: &str = "user";

/// What `/init` sets.
pub(crate) struct Settings {
    pub(crate) env_vars: BTreeMap<String, String>,
    pub(crate) default_user: String,
    pub(crate) default_workdir: Option<String>,
    /// Counts the changes of all of these.
    pub(crate) version: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            env_vars: BTreeMap::new(),
            default_user: DEFAULT_USER.to_owned(),
            default_workdir: None,
            version: 0,
        }
    }
}

/// Everything that requests share. One thread owns it.
pub(crate) struct Agent {
    pub(crate) settings: RefCell<Settings>,
    pub(crate) accounts: Accounts,
    pub(crate) processes: Table,
    pub(crate) commands: Kept,
    pub(crate) watchers: Watchers,
    /// There from its first use on.
    kernels: OnceCell<Box<Kernels>>,
    pub(crate) supply: Supply,
    /// What waits for a script.
    pub(crate) ready: RefCell<Option<Ready>>,
    /// For telling how busy the CPUs were since the last question.
    pub(crate) cpu: Cell<CpuSample>,
    /// `/dev/null`, the standard input of processes that want none.
    pub(crate) null: OwnedFd,
    /// The limit of open files that processes get.
    pub(crate) open_files: Rlimit,
    pub(crate) oom_score: OomScore,
    /// Where output is read to. It grows to one chunk at most and is shared by all processes.
    pub(crate) scratch: RefCell<Vec<u8>>,
}

impl Agent {
    pub(crate) fn new(null: OwnedFd, open_files: Rlimit, oom_score: OomScore) -> Self {
        Self {
            settings: RefCell::default(),
            accounts: Accounts::default(),
            processes: Table::default(),
            commands: Kept::default(),
            watchers: Watchers::default(),
            kernels: OnceCell::new(),
            supply: Supply::default(),
            ready: RefCell::default(),
            cpu: Cell::default(),
            null,
            open_files,
            oom_score,
            scratch: RefCell::default(),
        }
    }

    /// The kernels' contexts.
    pub(crate) fn kernels(&self) -> &Kernels {
        self.kernels.get_or_init(Box::default)
    }

    /// The user called `name`, or the default one.
    ///
    /// # Errors
    /// `unauthenticated` when there is no such user.
    pub(crate) fn account(&self, name: Option<&str>) -> Result<Rc<Account>, RpcError> {
        let settings = self.settings.borrow();
        let name = name.unwrap_or(&settings.default_user);
        self.accounts.find(name).ok_or_else(|| {
            RpcError::new(Code::Unauthenticated, format!("invalid username: '{name}'"))
        })
    }
}
