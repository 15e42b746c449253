//! A world around the machine, in which anything happens in any order.

use super::{Action, Event, Life, Machine, Outcome, RunId, State};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

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
                assert!(life > self.life && !self.alive && !self.deleted && self.running.is_none());
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
