//! Interpreters that the host has copies of its zygote become in this sandbox
//! ([`soulbox_wire::supply`]): one that waits already, or one that is asked for. Who gets none
//! starts a program the usual way.

use crate::account::Account;
use crate::framed::{self, Frames};
use crate::limits;
use crate::packages;
use crate::ready;
use crate::state::Agent;
use rustix::fd::OwnedFd;
use rustix::net::RecvFlags;
use rustix::process::Pid;
use soulbox_wire::connect::encode_frame;
use soulbox_wire::supply::{Event, MAX_AHEAD, MAX_MESSAGE, PREFACE, Request};
use soulbox_wire::zygote::MAX_GROUPS;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};

/// How long the host may take to supply a process; it takes milliseconds. Starting an interpreter
/// takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// Wants that may be on their way.
const WANTS: usize = 128;

/// A copy of a zygote that waits to be told what to run.
pub(crate) struct Forked {
    /// Its process id. It is a child of this process.
    pub(crate) pid: Pid,
    /// Where it is told.
    pub(crate) control: UnixStream,
    /// The user that it is.
    uid: u32,
}

/// What waits, and the connection on which more is asked for.
pub(crate) struct Supply {
    /// When the sandbox began, or was restored: its packages were the template's then.
    began: SystemTime,
    waiting: RefCell<VecDeque<Forked>>,
    wants: RefCell<Option<Rc<Wants>>>,
}

impl Default for Supply {
    fn default() -> Self {
        Self {
            began: SystemTime::now(),
            waiting: RefCell::default(),
            wants: RefCell::default(),
        }
    }
}

/// What was asked for on one connection.
#[derive(Default)]
struct Wants {
    last: Cell<u64>,
    calls: RefCell<BTreeMap<u64, oneshot::Sender<(Pid, UnixStream)>>>,
    frames: RefCell<VecDeque<Vec<u8>>>,
    filled: Notify,
    closed: Cell<bool>,
}

impl Supply {
    /// A process of `account` that waits, or one that the host supplies now; none where there is no
    /// host that does, or where packages were installed that a copy might not have.
    pub(crate) async fn take(&self, account: &Account) -> Option<Forked> {
        if packages::changed_since(self.began, &account.home) {
            return None;
        }
        loop {
            let waiting = self.waiting.borrow_mut().pop_front();
            match waiting {
                Some(forked) if forked.is_of(account) && forked.lives() => return Some(forked),
                // Closing its control socket ends it.
                Some(_) => {}
                None => break,
            }
        }
        let wants = self.wants.borrow().clone()?;
        wants.ask(account).await
    }

    fn attach(&self, wants: Rc<Wants>) {
        if let Some(before) = self.wants.borrow_mut().replace(wants) {
            before.close();
        }
    }

    fn detach(&self, wants: &Rc<Wants>) {
        wants.close();
        let mut current = self.wants.borrow_mut();
        if current.as_ref().is_some_and(|c| Rc::ptr_eq(c, wants)) {
            *current = None;
        }
    }
}

impl Forked {
    fn is_of(&self, account: &Account) -> bool {
        self.uid == account.uid.as_raw()
    }

    /// Whether its end of the socket is open: it says nothing before it is told something.
    fn lives(&self) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&self.control, &mut byte[..], flags);
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }
}

impl Wants {
    /// Asks the host for a process of `account`.
    async fn ask(&self, account: &Account) -> Option<Forked> {
        if self.closed.get() || self.calls.borrow().len() >= WANTS {
            return None;
        }
        let call = self.last.get() + 1;
        self.last.set(call);
        let groups = account.groups.iter().take(MAX_GROUPS);
        let want = Event::Want {
            call,
            uid: account.uid.as_raw(),
            gid: account.gid.as_raw(),
            groups: groups.map(|group| group.as_raw()).collect(),
            directory: account.home.clone(),
        };
        let (answer, answered) = oneshot::channel();
        self.calls.borrow_mut().insert(call, answer);
        self.tell(&want);
        let supplied = async {
            let (pid, control) = answered.await.ok()?;
            skip_greeting(&control).await?;
            Some(Forked {
                pid,
                control,
                uid: account.uid.as_raw(),
            })
        };
        let forked = tokio::time::timeout(PATIENCE, supplied).await;
        self.calls.borrow_mut().remove(&call);
        forked.ok().flatten()
    }

    fn tell(&self, event: &Event) {
        // Strings and numbers always serialise.
        let json = serde_json::to_vec(event).unwrap_or_default();
        self.frames.borrow_mut().push_back(encode_frame(0, &json));
        self.filled.notify_one();
    }

    fn close(&self) {
        self.closed.set(true);
        // Those who wait for an answer start a program themselves.
        self.calls.borrow_mut().clear();
        self.filled.notify_one();
    }
}

/// Reads the first frame of a control socket, by which its process says that it is there.
async fn skip_greeting(control: &UnixStream) -> Option<()> {
    read_frame(control, MAX_MESSAGE).await.map(drop)
}

/// Reads a frame of at most `most` bytes from a control socket; none when it is longer, or when the
/// process has closed its end.
pub(crate) async fn read_frame(control: &UnixStream, most: usize) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    read_exactly(control, &mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if length > most {
        return None;
    }
    let mut frame = vec![0; length];
    read_exactly(control, &mut frame).await?;
    Some(frame)
}

async fn read_exactly(control: &UnixStream, mut place: &mut [u8]) -> Option<()> {
    while !place.is_empty() {
        control.readable().await.ok()?;
        match control.try_read(place) {
            Ok(0) => return None,
            Ok(length) => place = place.get_mut(length..)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    Some(())
}

/// Whether a connection that was just accepted is for supplies; waits for its first bytes.
pub(crate) async fn is_wanted(stream: &UnixStream) -> bool {
    framed::begins_with(stream, PREFACE).await
}

/// Serves a connection for supplies until either side ends it.
pub(crate) async fn serve(agent: Rc<Agent>, stream: UnixStream) {
    let wants = Rc::new(Wants::default());
    agent.supply.attach(Rc::clone(&wants));
    // How it ends is the other side's affair.
    let _: io::Result<()> = tokio::select! {
        read = read(&agent, &stream, &wants) => read,
        written = write(&stream, &wants) => written,
    };
    agent.supply.detach(&wants);
}

async fn read(agent: &Rc<Agent>, stream: &UnixStream, wants: &Rc<Wants>) -> io::Result<()> {
    let mut frames = Frames::new(stream, PREFACE, MAX_MESSAGE, limits::SUPPLY_PIECE);
    while frames.fill().await? && !wants.closed.get() {
        while let Some((request, file)) = frames.next(Request::has_descriptor)? {
            act(agent, wants, &request, file);
        }
    }
    Ok(())
}

fn act(agent: &Rc<Agent>, wants: &Rc<Wants>, request: &Request, file: Option<OwnedFd>) {
    match request {
        Request::Open { ahead } => {
            wants.tell(&Event::Opened);
            for _ in 0..(*ahead).min(MAX_AHEAD) {
                let (agent, wants) = (Rc::clone(agent), Rc::clone(wants));
                tokio::task::spawn_local(async move { ask_ahead(&agent, &wants).await });
            }
        }
        Request::Ready { variables } => {
            let (agent, wants, variables) = (Rc::clone(agent), Rc::clone(wants), variables.clone());
            tokio::task::spawn_local(async move {
                let event = match ready::begin(&agent, &variables).await {
                    Ok(()) => Event::Waits,
                    Err(error) => Event::Lacks { error },
                };
                wants.tell(&event);
            });
        }
        Request::Supplied { call, pid } => {
            let answer = wants.calls.borrow_mut().remove(call);
            let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
            let supplied = pid.zip(file.and_then(socket));
            if let (Some(answer), Some(supplied)) = (answer, supplied) {
                // Whoever asked may have given up.
                let _ = answer.send(supplied);
            }
        }
        Request::Unable { call, .. } => drop(wants.calls.borrow_mut().remove(call)),
    }
}

/// Asks for a process of the default user that is to wait.
async fn ask_ahead(agent: &Agent, wants: &Wants) {
    let Ok(account) = agent.account(None) else {
        return;
    };
    if let Some(forked) = wants.ask(&account).await {
        agent.supply.waiting.borrow_mut().push_back(forked);
    }
}

fn socket(descriptor: OwnedFd) -> Option<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(descriptor);
    stream.set_nonblocking(true).ok()?;
    UnixStream::from_std(stream).ok()
}

async fn write(stream: &UnixStream, wants: &Wants) -> io::Result<()> {
    while !wants.closed.get() {
        let frame = wants.frames.borrow_mut().pop_front();
        let Some(frame) = frame else {
            wants.filled.notified().await;
            continue;
        };
        framed::send(stream, &frame, None).await?;
    }
    Ok(())
}
