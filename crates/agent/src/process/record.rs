//! One process and what is known of it.

use crate::commands::kept::Recorded;
use crate::process::end::End;
use crate::process::subscription::Subscription;
use bytes::Bytes;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal};
use soulbox_wire::envd::process::ProcessConfig;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, Notify};

/// A descriptor of a process that both its output and its input may go through.
pub(crate) type Channel = Rc<AsyncFd<OwnedFd>>;

/// Where input for a process goes.
pub(crate) enum Input {
    /// Nowhere: it reads `/dev/null`.
    None,
    /// A pipe, until it is closed.
    Pipe(RefCell<Option<Channel>>),
    /// A terminal, for as long as the process lives.
    Terminal(Channel),
}

/// A process that was started through the service.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) config: ProcessConfig,
    pub(crate) tag: Option<String>,
    pub(crate) input: Input,
    /// The recorded command that it is.
    pub(crate) recorded: Option<Rc<Recorded>>,
    /// Held by whoever writes input, so that two writers do not mix.
    pub(crate) input_turn: Mutex<()>,
    /// Told when the input pipe is closed from our side.
    pub(crate) input_closed: Notify,
    /// How it ended, once it was waited for.
    pub(crate) end: Cell<Option<End>>,
    /// Whether output that is still to come after its end is of no interest.
    pub(crate) cut: Cell<bool>,
    /// Whether its time limit passed.
    pub(crate) expired: Cell<bool>,
    /// Tells its pump that `end`, `cut` or `expired` changed, or that there is another reader.
    pub(crate) changed: Notify,
    /// Tells its pump that a subscription has room again, or is gone.
    pub(crate) room: Rc<Notify>,
    subscriptions: RefCell<Vec<Rc<Subscription>>>,
}

impl Process {
    pub(crate) fn new(
        pid: Pid,
        config: ProcessConfig,
        tag: Option<String>,
        input: Input,
        recorded: Option<Rc<Recorded>>,
    ) -> Self {
        Self {
            pid,
            config,
            tag,
            input,
            recorded,
            input_turn: Mutex::default(),
            input_closed: Notify::new(),
            end: Cell::new(None),
            cut: Cell::new(false),
            expired: Cell::new(false),
            changed: Notify::new(),
            room: Rc::new(Notify::new()),
            subscriptions: RefCell::default(),
        }
    }

    /// Its id as the protocol writes it.
    pub(crate) fn number(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(crate) fn ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Adds a reader of its output.
    pub(crate) fn subscribe(&self, subscription: Rc<Subscription>) {
        self.subscriptions.borrow_mut().push(subscription);
    }

    pub(crate) fn subscribers(&self) -> usize {
        let mut subscriptions = self.subscriptions.borrow_mut();
        subscriptions.retain(|subscription| subscription.is_open());
        subscriptions.len()
    }

    /// Whether every reader can take another chunk.
    pub(crate) fn has_room(&self) -> bool {
        self.subscriptions
            .borrow()
            .iter()
            .all(|s| s.has_room() || !s.is_open())
    }

    /// Gives a chunk to every reader.
    pub(crate) fn publish(&self, frame: &Bytes) {
        for subscription in self.subscriptions.borrow().iter() {
            subscription.push(frame.clone());
        }
    }

    /// Ends every reader's stream with `last`, or with `expired` for the one whose time limit
    /// ended the process.
    pub(crate) fn finish(&self, last: &Bytes, expired: &Bytes) {
        for subscription in self.subscriptions.borrow_mut().drain(..) {
            let ends_at_limit = subscription.owns_time_limit() && self.expired.get();
            subscription.finish(if ends_at_limit { expired } else { last }.clone());
        }
    }

    /// Sends a signal to the process alone. False when it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        // Reaping happens on this thread alone, so an unreaped child's id is still its own.
        !self.ended() && rustix::process::kill_process(self.pid, signal).is_ok()
    }

    /// Kills it and everything in its session at its time limit.
    pub(crate) fn expire(&self) {
        self.expired.set(true);
        self.cut.set(true);
        crate::process::signal::kill_session(self.pid);
        self.changed.notify_one();
    }
}
