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
mod world;

#[cfg(test)]
mod tests {
    use super::*;

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
}
