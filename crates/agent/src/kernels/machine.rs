//! The life of a context, as a table of events: what happens, and what is to be done then. It knows
//! no process and no clock, so every order of events can be tried.
//!
//! ```text
//!            Wake, Submit          Started              next run
//!   off ───────────────▶ starting ─────────▶ idle ───────────────▶ running ──Gone──▶ interrupting
//!    ▲                    │    ▲              │ ▲      Ended        │    │             │     │
//!    └────StartFailed─────┘    └─Lost,Restart─┘ └───────────────────┘    └────Lost,────┘     │
//!                              └────────────────────────── Restart, Overdue ─────────────────┘
//! ```
//!
//! One run at a time, in the order in which they came. Each run is finished exactly once, for one of
//! the reasons of [`Outcome`].

use std::collections::VecDeque;

/// A run of the context.
pub(crate) type RunId = u64;

/// One process of the context, counted.
pub(crate) type Life = u64;

/// What a context is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no process: it was not used yet, or its process could not be started or kept.
    Off,
    /// A process is being had and readied.
    Starting,
    /// A process waits.
    Idle,
    /// A process runs a cell.
    Running(RunId),
    /// A process runs a cell that nobody waits for, and was told to stop it.
    Interrupting(RunId),
    /// It is gone for good.
    Deleted,
}

/// What happens to a context. Events of a process say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody wants it to be ready.
    Wake,
    /// A run is to be done.
    Submit(RunId),
    /// Nobody waits for a run any more.
    Gone(RunId),
    /// The process can take runs.
    Started(Life),
    /// There is no process.
    StartFailed(Life),
    /// The process has ended its run.
    Ended(Life),
    /// The process is gone.
    Lost(Life),
    /// An interrupted run did not end.
    Overdue(RunId),
    /// Its process is to be replaced.
    Restart,
    /// It is to be removed.
    Delete,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Get a process.
    Start(Life),
    /// Let the process do a run.
    Execute(RunId),
    /// Tell the process to stop its run.
    Interrupt(RunId),
    /// End the process.
    Kill,
    /// Tell that a run is over.
    Finish(RunId, Outcome),
}

/// Why a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ended by itself.
    Ended,
    /// Its process was replaced, or lost.
    Restarted,
    /// There was no process for it.
    NotStarted,
    /// The context was deleted.
    Deleted,
    /// Nobody waited for it.
    Left,
}

/// The state of a context.
#[derive(Debug)]
pub(crate) struct Machine {
    state: State,
    waiting: VecDeque<RunId>,
    life: Life,
    /// Whether the process has ended a run: one that never does is not started again by itself.
    worked: bool,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Off,
            waiting: VecDeque::new(),
            life: 0,
            worked: false,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The process that it has, or is about to get.
    pub(crate) fn life(&self) -> Life {
        self.life
    }

    /// How many runs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes in what happened; says what is to be done, in this order.
    pub(crate) fn handle(&mut self, event: Event) -> Vec<Action> {
        use State::{Deleted, Idle, Interrupting, Off, Running, Starting};
        let mut todo = Vec::new();
        match (event, self.state) {
            (Event::Submit(run), Deleted) => todo.push(Action::Finish(run, Outcome::Deleted)),
            (Event::Submit(run), state) => {
                self.waiting.push_back(run);
                match state {
                    Off => self.start(&mut todo),
                    Idle => self.next(&mut todo),
                    _ => {}
                }
            }
            (Event::Wake, Off) => self.start(&mut todo),
            (Event::Gone(run), Running(current)) if run == current => {
                self.state = Interrupting(run);
                todo.push(Action::Interrupt(run));
            }
            (Event::Gone(run), _) => {
                let before = self.waiting.len();
                self.waiting.retain(|waiting| *waiting != run);
                if self.waiting.len() < before {
                    todo.push(Action::Finish(run, Outcome::Left));
                }
            }
            (Event::Started(life), Starting) if life == self.life => {
                self.worked = false;
                self.next(&mut todo);
            }
            (Event::StartFailed(life) | Event::Lost(life), Starting) if life == self.life => {
                self.give_up(&mut todo, Outcome::NotStarted);
                self.state = Off;
            }
            (Event::Ended(life), Running(_) | Interrupting(_)) if life == self.life => {
                self.worked = true;
                self.finish_current(&mut todo, Outcome::Ended);
                self.next(&mut todo);
            }
            (Event::Lost(life), Running(_) | Interrupting(_)) if life == self.life => {
                self.finish_current(&mut todo, Outcome::Restarted);
                self.start(&mut todo);
            }
            (Event::Lost(life), Idle) if life == self.life => match self.worked {
                true => self.start(&mut todo),
                false => self.state = Off,
            },
            (Event::Overdue(run), Interrupting(current)) if run == current => {
                self.finish_current(&mut todo, Outcome::Left);
                todo.push(Action::Kill);
                self.start(&mut todo);
            }
            (Event::Restart, Off | Starting | Idle | Running(_) | Interrupting(_)) => {
                self.finish_current(&mut todo, Outcome::Restarted);
                if self.state != Off {
                    todo.push(Action::Kill);
                }
                self.start(&mut todo);
            }
            (Event::Delete, Off | Starting | Idle | Running(_) | Interrupting(_)) => {
                self.finish_current(&mut todo, Outcome::Deleted);
                self.give_up(&mut todo, Outcome::Deleted);
                todo.push(Action::Kill);
                self.state = Deleted;
            }
            _ => {}
        }
        todo
    }

    fn start(&mut self, todo: &mut Vec<Action>) {
        self.life += 1;
        self.state = State::Starting;
        todo.push(Action::Start(self.life));
    }

    /// Gives the process the next run, if one waits.
    fn next(&mut self, todo: &mut Vec<Action>) {
        self.state = match self.waiting.pop_front() {
            None => State::Idle,
            Some(run) => {
                todo.push(Action::Execute(run));
                State::Running(run)
            }
        };
    }

    /// The run that the process does is over.
    fn finish_current(&self, todo: &mut Vec<Action>, outcome: Outcome) {
        match self.state {
            State::Running(run) => todo.push(Action::Finish(run, outcome)),
            State::Interrupting(run) => todo.push(Action::Finish(run, Outcome::Left)),
            _ => {}
        }
    }

    /// Those that wait are over.
    fn give_up(&mut self, todo: &mut Vec<Action>, outcome: Outcome) {
        let waiting = self.waiting.drain(..);
        todo.extend(waiting.map(|run| Action::Finish(run, outcome)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_cell_behind_an_interrupted_one_runs() {
        let mut machine = Machine::new();
        assert_eq!(machine.handle(Event::Submit(1)), [Action::Start(1)]);
        assert_eq!(machine.handle(Event::Submit(2)), []);
        assert_eq!(machine.handle(Event::Started(1)), [Action::Execute(1)]);
        assert_eq!(machine.handle(Event::Gone(1)), [Action::Interrupt(1)]);
        assert_eq!(machine.handle(Event::Gone(1)), []);
        let todo = [Action::Finish(1, Outcome::Left), Action::Execute(2)];
        assert_eq!(machine.handle(Event::Ended(1)), todo);
        let todo = [Action::Finish(2, Outcome::Ended)];
        assert_eq!(machine.handle(Event::Ended(1)), todo);
        assert_eq!(machine.state(), State::Idle);
    }

    #[test]
    fn a_kernel_that_ignores_the_interrupt_is_replaced() {
        let mut machine = Machine::new();
        for event in [
            Event::Submit(1),
            Event::Submit(2),
            Event::Started(1),
            Event::Gone(1),
        ] {
            machine.handle(event);
        }
        let todo = [
            Action::Finish(1, Outcome::Left),
            Action::Kill,
            Action::Start(2),
        ];
        assert_eq!(machine.handle(Event::Overdue(1)), todo);
        assert_eq!(machine.handle(Event::Lost(1)), [], "of the one before");
        assert_eq!(machine.handle(Event::Started(2)), [Action::Execute(2)]);
    }

    #[test]
    fn a_kernel_that_never_works_is_not_started_for_ever() {
        let mut machine = Machine::new();
        machine.handle(Event::Wake);
        machine.handle(Event::Started(1));
        assert_eq!(machine.handle(Event::Lost(1)), []);
        assert_eq!(machine.state(), State::Off);
        assert_eq!(machine.handle(Event::Submit(1)), [Action::Start(2)]);
        let todo = [Action::Finish(1, Outcome::NotStarted)];
        assert_eq!(machine.handle(Event::StartFailed(2)), todo);
        for event in [Event::Submit(2), Event::Started(3), Event::Ended(3)] {
            machine.handle(event);
        }
        assert_eq!(machine.handle(Event::Lost(3)), [Action::Start(4)]);
    }

    /// What the world does next, chosen by a number where there are several possibilities.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Submit,
        Gone(u64),
        Restart,
        Delete,
        /// The process does what it was asked to: it starts, or ends its run.
        Answer,
        Fail,
        Lose,
        /// Something of a process that is no more.
        Stale(u64),
        Overdue,
        Wake,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => Just(Step::Submit),
            3 => (0_u64..20).prop_map(Step::Gone),
            1 => Just(Step::Restart),
            1 => Just(Step::Delete),
            8 => Just(Step::Answer),
            1 => Just(Step::Fail),
            2 => Just(Step::Lose),
            2 => (0_u64..5).prop_map(Step::Stale),
            1 => Just(Step::Overdue),
            1 => Just(Step::Wake),
        ];
        prop::collection::vec(step, 0..60)
    }

    /// A world around a machine that keeps account of what it was told to do.
    #[derive(Default)]
    struct World {
        submitted: u64,
        /// The last run that was begun: they begin in their order.
        last: u64,
        life: Life,
        alive: bool,
        started: bool,
        running: Option<RunId>,
        finished: BTreeMap<RunId, Outcome>,
        gone: BTreeSet<RunId>,
        deleted: bool,
    }

    impl World {
        fn take(&mut self, machine: &mut Machine, event: Event) {
            for action in machine.handle(event) {
                self.act(action);
            }
        }

        fn act(&mut self, action: Action) {
            match action {
                Action::Start(life) => {
                    assert!(
                        life > self.life && !self.alive && !self.deleted && self.running.is_none()
                    );
                    (self.life, self.alive, self.started) = (life, true, false);
                }
                Action::Execute(run) => {
                    assert!(self.alive && self.started && self.running.is_none());
                    assert!(run > self.last, "runs begin in their order");
                    assert!(!self.gone.contains(&run), "nobody waits for it");
                    (self.last, self.running) = (run, Some(run));
                }
                Action::Interrupt(run) => {
                    assert!(self.running == Some(run) && self.gone.contains(&run));
                }
                Action::Kill => {
                    assert!(self.running.is_none(), "whoever runs is told first");
                    self.alive = false;
                }
                Action::Finish(run, outcome) => {
                    assert!(
                        self.finished.insert(run, outcome).is_none(),
                        "a run ends once"
                    );
                    if self.running == Some(run) {
                        self.running = None;
                    }
                }
            }
        }

        fn step(&mut self, machine: &mut Machine, step: Step) {
            let event = match step {
                Step::Submit => {
                    self.submitted += 1;
                    Event::Submit(self.submitted)
                }
                Step::Gone(run) if run >= self.submitted => return,
                Step::Gone(run) => {
                    let run = run + 1;
                    self.gone.insert(run);
                    Event::Gone(run)
                }
                Step::Restart => Event::Restart,
                Step::Delete => {
                    self.deleted = true;
                    Event::Delete
                }
                Step::Wake => Event::Wake,
                Step::Overdue => Event::Overdue(self.running.unwrap_or(0)),
                Step::Stale(back) if back > 0 && back <= self.life => Event::Lost(self.life - back),
                Step::Answer if self.alive && !self.started => {
                    self.started = true;
                    Event::Started(self.life)
                }
                Step::Answer if self.alive && self.running.is_some() => Event::Ended(self.life),
                Step::Fail if self.alive && !self.started => {
                    self.alive = false;
                    Event::StartFailed(self.life)
                }
                Step::Lose if self.alive => {
                    self.alive = false;
                    Event::Lost(self.life)
                }
                _ => return,
            };
            self.take(machine, event);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_run_ends_once_in_any_order_of_events(steps in steps()) {
            let (mut machine, mut world) = (Machine::new(), World::default());
            for step in steps {
                world.step(&mut machine, step);
                prop_assert_eq!(world.deleted, machine.state() == State::Deleted);
                if machine.waiting() > 0 {
                    prop_assert!(!matches!(machine.state(), State::Idle | State::Off), "nothing waits in vain");
                }
            }
            // From now on the process does what it should.
            for _ in 0..2 * world.submitted + 2 {
                world.step(&mut machine, Step::Answer);
            }
            let all: Vec<RunId> = (1..=world.submitted).collect();
            let finished: Vec<RunId> = world.finished.keys().copied().collect();
            prop_assert_eq!(finished, all, "every run has ended");
        }
    }
}
