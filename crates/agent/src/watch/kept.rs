//! `CreateWatcher`, `GetWatcherEvents`, `RemoveWatcher`: watchers that live until they are
//! removed.

use crate::limits;
use crate::rpc::Call;
use crate::state::Agent;
use crate::watch::watcher::Watcher;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::filesystem::{WatchRequest, WatcherEvents, WatcherId};
use soulbox_wire::envd::process::Empty;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::Poll;
use tokio::task::AbortHandle;

/// The watchers of the agent.
#[derive(Default)]
pub(crate) struct Watchers {
    kept: RefCell<BTreeMap<String, Kept>>,
    /// Places in use, kept watchers and streams together.
    used: Rc<Cell<usize>>,
}

struct Kept {
    watcher: Rc<RefCell<Watcher>>,
    reader: AbortHandle,
    _place: Place,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A claim on one of the agent's watchers.
pub(crate) struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Watchers {
    /// Claims a place for another watcher.
    pub(crate) fn take_place(&self) -> Result<Place, RpcError> {
        if self.used.get() >= limits::WATCHERS {
            let message = format!("{} watchers exist already, remove some", limits::WATCHERS);
            return Err(RpcError::new(Code::ResourceExhausted, message));
        }
        self.used.set(self.used.get() + 1);
        Ok(Place(Rc::clone(&self.used)))
    }

    /// Has recursive watchers see at once what a request has just made: what the next request
    /// writes into a new directory is then told by Linux and not found by looking.
    pub(crate) fn settle(&self, agent: &Agent) {
        for kept in self.kept.borrow().values() {
            let mut watcher = kept.watcher.borrow_mut();
            if watcher.is_recursive() {
                watcher.drain(&mut agent.accounts.names());
            }
        }
    }
}

/// Begins to watch a directory.
pub(crate) fn create(
    agent: &Rc<Agent>,
    call: &Call,
    request: &WatchRequest,
) -> Result<WatcherId, RpcError> {
    let place = agent.watchers.take_place()?;
    let watcher = Rc::new(RefCell::new(Watcher::new(agent, call, request)?));
    let reader = read_on(Rc::downgrade(agent), Rc::clone(&watcher));
    let reader = tokio::task::spawn_local(reader).abort_handle();
    let watcher_id = new_id()?;
    let kept = Kept {
        watcher,
        reader,
        _place: place,
    };
    agent
        .watchers
        .kept
        .borrow_mut()
        .insert(watcher_id.clone(), kept);
    Ok(WatcherId { watcher_id })
}

/// Takes in events as they come, so that new directories are watched in time.
async fn read_on(agent: Weak<Agent>, watcher: Rc<RefCell<Watcher>>) {
    loop {
        let ready = poll_fn(|context| {
            let watcher = watcher.borrow();
            match watcher.descriptor().poll_read_ready(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(_)) => Poll::Ready(false),
                Poll::Ready(Ok(mut guard)) => {
                    guard.clear_ready();
                    Poll::Ready(true)
                }
            }
        });
        let (true, Some(agent)) = (ready.await, agent.upgrade()) else {
            return;
        };
        watcher.borrow_mut().drain(&mut agent.accounts.names());
    }
}

/// A name that nobody can guess: another client's watcher is not to be drained by accident.
fn new_id() -> Result<String, RpcError> {
    let digits = crate::random::hex();
    let digits = digits.map_err(|errno| {
        RpcError::new(Code::Internal, format!("cannot name a watcher: {errno}"))
    })?;
    Ok(format!("w{digits}"))
}

/// Tells what happened since the last call.
pub(crate) fn take_events(agent: &Agent, request: &WatcherId) -> Result<WatcherEvents, RpcError> {
    let kept = agent.watchers.kept.borrow();
    let kept = kept
        .get(&request.watcher_id)
        .ok_or_else(|| not_found(request))?;
    let mut watcher = kept.watcher.borrow_mut();
    // What was written before this call is told by it, whether or not the runtime knows yet.
    watcher.drain(&mut agent.accounts.names());
    Ok(WatcherEvents {
        events: watcher.take_events(),
    })
}

/// Stops watching.
pub(crate) fn remove(agent: &Agent, request: &WatcherId) -> Result<Empty, RpcError> {
    let removed = agent.watchers.kept.borrow_mut().remove(&request.watcher_id);
    removed.map(|_| Empty {}).ok_or_else(|| not_found(request))
}

fn not_found(request: &WatcherId) -> RpcError {
    RpcError::new(
        Code::NotFound,
        format!("watcher with id {} not found", request.watcher_id),
    )
}
