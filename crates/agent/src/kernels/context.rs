//! A context: the runs that wait for it, and the process that does them.

use crate::kernels::ask::{Ask, changes, is_plain};
use crate::kernels::frame::{FrameError, encode};
use crate::kernels::link::Link;
use crate::kernels::machine::{Action, Event, Life, Machine, Outcome, RunId, State};
use crate::kernels::run::Run;
use crate::kernels::spec::Spec;
use crate::limits;
use crate::process::spawn::own_variables;
use crate::state::Agent;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Why a run is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    #[error(transparent)]
    Long(#[from] FrameError),
    #[error("{0} runs wait for the context already")]
    Many(usize),
    #[error("more than {0} bytes of code wait already")]
    Much(usize),
}

/// A context.
pub(crate) struct Context {
    pub(crate) id: String,
    /// The directory that it was made with.
    pub(crate) cwd: String,
    pub(crate) spec: Rc<Spec>,
    /// It lives as long as this process does.
    pub(super) agent: Rc<Agent>,
    machine: RefCell<Machine>,
    runs: RefCell<BTreeMap<RunId, Rc<Run>>>,
    last_run: Cell<RunId>,
    link: RefCell<Option<Rc<Link>>>,
    /// The variables that the process was given, and the settings that they are of.
    variables: RefCell<BTreeMap<String, String>>,
    settings: Cell<u64>,
    /// Told when it changes what it is doing.
    changed: Notify,
    /// Why there is no process, or why it is not in its directory.
    pub(super) failure: RefCell<String>,
    pub(super) astray: RefCell<Option<String>>,
}

impl Context {
    pub(crate) fn new(agent: &Rc<Agent>, spec: Rc<Spec>, id: String, cwd: String) -> Self {
        Self {
            id,
            cwd,
            spec,
            agent: Rc::clone(agent),
            machine: RefCell::new(Machine::new()),
            runs: RefCell::default(),
            last_run: Cell::new(0),
            link: RefCell::default(),
            variables: RefCell::default(),
            settings: Cell::new(0),
            changed: Notify::new(),
            failure: RefCell::default(),
            astray: RefCell::default(),
        }
    }

    /// Takes a run. Its output begins at once.
    ///
    /// # Errors
    /// It is too large, or too much waits already.
    pub(crate) fn submit(
        self: &Rc<Self>,
        code: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<Rc<Run>, SubmitError> {
        if self.machine.borrow().waiting() >= limits::WAITING_RUNS {
            return Err(SubmitError::Many(limits::WAITING_RUNS));
        }
        let id = self.last_run.get() + 1;
        let request = encode(&Ask::Execute {
            id: &id.to_string(),
            code,
            env: variables,
        })?;
        let waiting = &self.agent.kernels().waiting_code;
        if waiting.get() > 0 && waiting.get() + request.len() > limits::WAITING_CODE {
            return Err(SubmitError::Much(limits::WAITING_CODE));
        }
        waiting.set(waiting.get() + request.len());
        self.last_run.set(id);
        let run = Rc::new(Run::new(id, request));
        self.runs.borrow_mut().insert(id, Rc::clone(&run));
        self.handle(Event::Submit(id));
        Ok(run)
    }

    /// Nobody waits for a run any more.
    pub(crate) fn leave(self: &Rc<Self>, run: &Run) {
        run.close();
        self.handle(Event::Gone(run.id()));
        self.look_again();
    }

    /// The output of its run was taken: there may be room again.
    pub(crate) fn look_again(&self) {
        if let Some(link) = &*self.link.borrow() {
            link.look_again();
        }
    }

    /// Replaces its process.
    ///
    /// # Errors
    /// Why there is none now.
    pub(crate) async fn restart(self: &Rc<Self>) -> Result<(), String> {
        self.handle(Event::Restart);
        self.settled().await
    }

    /// Ends it for good.
    pub(crate) fn delete(self: &Rc<Self>) {
        self.handle(Event::Delete);
    }

    /// Waits until it has a process that can take runs.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) async fn ready(self: &Rc<Self>) -> Result<(), String> {
        self.handle(Event::Wake);
        self.settled().await
    }

    async fn settled(&self) -> Result<(), String> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.machine.borrow().state() {
                State::Starting => {}
                State::Off => return Err(self.failure.borrow().clone()),
                State::Deleted => return Err("context was deleted".to_owned()),
                State::Idle | State::Running(_) | State::Interrupting(_) => return Ok(()),
            }
            changed.await;
        }
    }

    /// Whether `life` is still the process that it is to have.
    pub(super) fn is_current(&self, life: Life) -> bool {
        let machine = self.machine.borrow();
        machine.life() == life && machine.state() != State::Deleted
    }

    /// The run that its process does.
    pub(super) fn current_run(&self) -> Option<Rc<Run>> {
        let state = self.machine.borrow().state();
        let (State::Running(id) | State::Interrupting(id)) = state else {
            return None;
        };
        self.runs.borrow().get(&id).cloned()
    }

    /// Whether its process was told to stop the run.
    pub(super) fn is_interrupting(&self, run: RunId) -> bool {
        self.machine.borrow().state() == State::Interrupting(run)
    }

    pub(super) fn set_link(&self, link: Option<Rc<Link>>) {
        *self.link.borrow_mut() = link;
    }

    /// Does what an event asks for.
    pub(super) fn handle(self: &Rc<Self>, event: Event) {
        let todo = self.machine.borrow_mut().handle(event);
        for action in todo {
            self.act(action);
        }
        self.changed.notify_waiters();
    }

    fn act(self: &Rc<Self>, action: Action) {
        match action {
            Action::Start(life) => {
                tokio::task::spawn_local(super::conversation::run(Rc::clone(self), life));
            }
            Action::Execute(run) => self.execute(run),
            Action::Interrupt(run) => self.interrupt(run),
            Action::Kill => {
                if let Some(link) = self.link.take() {
                    link.kill();
                }
            }
            Action::Finish(run, outcome) => self.finish(run, outcome),
        }
    }

    fn execute(&self, id: RunId) {
        let run = self.runs.borrow().get(&id).cloned();
        let link = self.link.borrow().clone();
        if let (Some(run), Some(link)) = (run, link) {
            let mut frames = self.change_variables();
            let request = self.take_request(&run);
            match frames.is_empty() {
                true => frames = request,
                false => frames.extend(request),
            }
            link.send(frames);
        }
    }

    /// The request of a run, which waits no longer.
    fn take_request(&self, run: &Run) -> Vec<u8> {
        let request = run.take_request();
        let waiting = &self.agent.kernels().waiting_code;
        waiting.set(waiting.get().saturating_sub(request.len()));
        request
    }

    fn finish(&self, id: RunId, outcome: Outcome) {
        if let Some(run) = self.runs.borrow_mut().remove(&id) {
            self.take_request(&run);
            run.finish(outcome, &self.failure.borrow());
        }
    }

    fn interrupt(self: &Rc<Self>, run: RunId) {
        self.signal(run);
        let context = Rc::clone(self);
        tokio::task::spawn_local(async move { context.insist(run).await });
    }

    /// Interrupts a run, if it has begun: before, the signal would be lost.
    pub(super) fn signal(&self, run: RunId) {
        let begun = self
            .runs
            .borrow()
            .get(&run)
            .is_some_and(|run| run.has_begun());
        if let Some(link) = self.link.borrow().as_ref().filter(|_| begun) {
            link.interrupt();
        }
    }

    async fn insist(self: Rc<Self>, run: RunId) {
        let begin = Instant::now();
        let mut rest = limits::KERNEL_INSIST_FIRST;
        loop {
            sleep(rest).await;
            rest = limits::KERNEL_INSIST;
            if !self.is_interrupting(run) {
                return;
            }
            if begin.elapsed() >= limits::KERNEL_INTERRUPT {
                return self.handle(Event::Overdue(run));
            }
            self.signal(run);
        }
    }

    /// Requests by which a process that has just begun gets its variables.
    pub(super) fn first_variables(&self) -> Vec<u8> {
        self.variables.take();
        self.settings.set(u64::MAX);
        self.change_variables()
    }

    /// Requests that bring the process's variables up to date, if they are not.
    fn change_variables(&self) -> Vec<u8> {
        let settings = self.agent.settings.borrow();
        if self.settings.replace(settings.version) == settings.version {
            return Vec::new();
        }
        let given = settings.env_vars.clone();
        drop(settings);
        let own = self
            .agent
            .account(None)
            .map(|account| own_variables(&account));
        let wanted = own.into_iter().flatten().chain(given).collect();
        let before = self.variables.replace(wanted);
        let wanted = self.variables.borrow();
        let (plain, others): (BTreeMap<_, _>, BTreeMap<_, _>) = changes(&before, &wanted)
            .into_iter()
            .partition(|(name, _)| is_plain(name));
        let mut frames = Vec::new();
        for (id, env) in [(VARIABLES, plain), (OTHER_VARIABLES, others)] {
            // Variables of a request to the agent are shorter than a frame.
            let frame = encode(&Ask::SetEnv { id, env });
            frames.extend(frame.unwrap_or_default());
        }
        frames
    }
}

/// Ids of requests that are nobody's run.
pub(super) const VARIABLES: &str = "variables";
pub(super) const OTHER_VARIABLES: &str = "other variables";
pub(super) const DIRECTORY: &str = "directory";
