//! The recorded commands that the host has not told to forget.

use crate::commands::log::Log;
use crate::commands::outbox::Outbox;
use crate::limits;
use crate::process::end::End as ProcessEnd;
use soulbox_wire::commands::{End, Event};
use soulbox_wire::envd::output::Output;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// One recorded command.
pub(crate) struct Recorded {
    pub(crate) id: String,
    pub(crate) pid: Cell<u32>,
    pub(crate) log: Log,
    pub(crate) end: RefCell<Option<End>>,
    /// Whether the host wants to know when it writes more.
    pub(crate) followed: Cell<bool>,
    /// Whether its output waits for its first reader.
    pub(crate) attended: bool,
}

impl Recorded {
    pub(crate) fn new(id: String, log: Log, attended: bool) -> Rc<Self> {
        Rc::new(Self {
            id,
            pid: Cell::new(0),
            log,
            end: RefCell::default(),
            followed: Cell::default(),
            attended,
        })
    }
}

/// All of them, and the connection on which the host is told.
#[derive(Default)]
pub(crate) struct Kept {
    all: RefCell<BTreeMap<String, Rc<Recorded>>>,
    /// Those that have ended, the oldest first.
    ended: RefCell<VecDeque<Rc<Recorded>>>,
    outbox: RefCell<Option<Rc<Outbox>>>,
}

impl Kept {
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.all.borrow().contains_key(id)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Rc<Recorded>> {
        self.all.borrow().get(id).cloned()
    }

    pub(crate) fn insert(&self, command: Rc<Recorded>) {
        self.all.borrow_mut().insert(command.id.clone(), command);
    }

    /// Forgets one that has ended; others are not forgotten.
    pub(crate) fn forget(&self, id: &str) {
        let mut ended = self.ended.borrow_mut();
        let before = ended.len();
        ended.retain(|command| command.id != id);
        if ended.len() < before {
            self.all.borrow_mut().remove(id);
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Rc<Recorded>> {
        self.all.borrow().values().cloned().collect()
    }

    /// A command wrote something.
    pub(crate) fn wrote(&self, command: &Rc<Recorded>, output: Output, data: &[u8]) {
        command.log.append(output, data);
        if command.followed.replace(false)
            && let Some(outbox) = self.outbox.borrow().as_ref()
        {
            let id = command.id.clone();
            outbox.tell(&Event::Grew { id });
        }
    }

    /// A command ended and its output is over.
    pub(crate) fn ended(&self, command: &Rc<Recorded>, end: ProcessEnd, timed_out: bool) {
        let end = End {
            end: end.event(),
            timed_out,
        };
        *command.end.borrow_mut() = Some(end.clone());
        self.ended.borrow_mut().push_back(Rc::clone(command));
        self.drop_oldest();
        let id = command.id.clone();
        if let Some(outbox) = self.outbox.borrow().as_ref() {
            outbox.tell(&Event::Ended { id, end });
        }
    }

    /// Keeps the sandbox's memory for its commands while no host asks for what they left.
    fn drop_oldest(&self) {
        let mut ended = self.ended.borrow_mut();
        let mut bytes: u64 = ended.iter().map(|command| command.log.kept()).sum();
        while ended.len() > limits::RECORDED_ENDS
            || (ended.len() > 1 && bytes > limits::RECORDED_BYTES)
        {
            let Some(oldest) = ended.pop_front() else {
                return;
            };
            bytes = bytes.saturating_sub(oldest.log.kept());
            self.all.borrow_mut().remove(&oldest.id);
        }
    }

    /// Tells the host on this connection from now on; an older one is over.
    pub(crate) fn attach(&self, outbox: Rc<Outbox>) {
        for command in self.all.borrow().values() {
            command.followed.set(false);
        }
        if let Some(old) = self.outbox.replace(Some(outbox)) {
            old.close();
        }
    }

    /// Tells nobody, if this is the connection on which the host was told.
    pub(crate) fn detach(&self, outbox: &Rc<Outbox>) {
        let mut current = self.outbox.borrow_mut();
        if current.as_ref().is_some_and(|one| Rc::ptr_eq(one, outbox)) {
            *current = None;
        }
    }
}
