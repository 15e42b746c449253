//! All processes of the service: those that live, and the ends of those that just did.

use crate::limits;
use crate::process::end::End;
use crate::process::record::Process;
use bytes::Bytes;
use rustix::process::Pid;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::ProcessSelector;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::time::Instant;

/// The end of a process, kept for those who ask late.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) number: u32,
    pub(crate) tag: Option<String>,
    /// Its end event and the end of a stream.
    pub(crate) last: Bytes,
    at: Instant,
}

/// What a selector can lead to.
pub(crate) enum Selected {
    Live(Rc<Process>),
    Ended(Ended),
}

/// The processes of the service.
#[derive(Default)]
pub(crate) struct Table {
    /// Until their output is over, which may be after they ended. Oldest first.
    live: RefCell<Vec<Rc<Process>>>,
    ended: RefCell<VecDeque<Ended>>,
}

impl Table {
    /// Whether there is a place for another process.
    pub(crate) fn has_room(&self) -> bool {
        self.live.borrow().len() < limits::PROCESSES
    }

    pub(crate) fn insert(&self, process: Rc<Process>) {
        let number = process.number();
        self.ended
            .borrow_mut()
            .retain(|ended| ended.number != number);
        self.live.borrow_mut().push(process);
    }

    /// Records how the child `pid` ended. A stranger, which only PID 1 inherited, is forgotten.
    pub(crate) fn child_ended(&self, pid: Pid, end: End) {
        let live = self.live.borrow();
        if let Some(process) = live
            .iter()
            .find(|process| process.pid == pid && !process.ended())
        {
            process.end.set(Some(end));
            process.changed.notify_one();
        }
    }

    /// Takes a process out whose output is over, and keeps its end for a while.
    pub(crate) fn finish(&self, process: &Rc<Process>, last: Bytes) {
        self.live
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, process));
        let mut ended = self.ended.borrow_mut();
        forget_old(&mut ended);
        if ended.len() >= limits::ENDED_COUNT {
            ended.pop_front();
        }
        let (number, tag) = (process.number(), process.tag.clone());
        ended.push_back(Ended {
            number,
            tag,
            last,
            at: Instant::now(),
        });
    }

    /// Living processes, oldest first.
    pub(crate) fn living(&self) -> Vec<Rc<Process>> {
        self.live
            .borrow()
            .iter()
            .filter(|process| !process.ended())
            .cloned()
            .collect()
    }

    /// The living process that `selector` names.
    ///
    /// # Errors
    /// `not_found`, or `invalid_argument` when the selector is not exactly one of pid and tag.
    pub(crate) fn find(&self, selector: Option<&ProcessSelector>) -> Result<Rc<Process>, RpcError> {
        match self.select(selector)? {
            Selected::Live(process) if !process.ended() => Ok(process),
            _ => Err(not_found(selector)),
        }
    }

    /// The process that `selector` names: a living one, one whose output is not over, or the
    /// last one that ended.
    ///
    /// # Errors
    /// As [`Table::find`].
    pub(crate) fn select(&self, selector: Option<&ProcessSelector>) -> Result<Selected, RpcError> {
        let named = |number: u32, tag: Option<&str>| match selector {
            Some(ProcessSelector {
                pid: Some(pid),
                tag: None,
            }) => *pid == number,
            Some(ProcessSelector {
                pid: None,
                tag: Some(wanted),
            }) => tag == Some(wanted),
            _ => false,
        };
        if selector.is_none_or(|selector| selector.pid.is_some() == selector.tag.is_some()) {
            let message = "process must be selected by either pid or tag";
            return Err(RpcError::new(Code::InvalidArgument, message));
        }
        let live = self.live.borrow();
        let matching = || live.iter().filter(|p| named(p.number(), p.tag.as_deref()));
        if let Some(process) = matching()
            .find(|p| !p.ended())
            .or_else(|| matching().next_back())
        {
            return Ok(Selected::Live(Rc::clone(process)));
        }
        let mut ended = self.ended.borrow_mut();
        forget_old(&mut ended);
        let found = ended
            .iter()
            .rev()
            .find(|e| named(e.number, e.tag.as_deref()));
        found
            .cloned()
            .map(Selected::Ended)
            .ok_or_else(|| not_found(selector))
    }
}

fn forget_old(ended: &mut VecDeque<Ended>) {
    while ended
        .front()
        .is_some_and(|first| first.at.elapsed() > limits::ENDED_KEPT)
    {
        ended.pop_front();
    }
}

fn not_found(selector: Option<&ProcessSelector>) -> RpcError {
    let message = match selector {
        Some(ProcessSelector { pid: Some(pid), .. }) => format!("process with pid {pid} not found"),
        Some(ProcessSelector { tag: Some(tag), .. }) => format!("process with tag {tag} not found"),
        _ => "process not found".to_owned(),
    };
    RpcError::new(Code::NotFound, message)
}
